"""Where a compiled step begins: it names a function, and this finds and runs it.

A component's program, as it stands in the IR, is three lines that call `load`. What comes
back is a function with the user's own signature (without the Spark session), so that KFP's
executor, the local one and the cluster's alike, binds inputs and outputs as it always does.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

from headrace.core.errors import StepFailed, did_you_mean
from headrace.executing import code as bundle
from headrace.executing import (
    context,
    engines,
    failures,
    metadata,
    reports,
    sdk,  # noqa: F401  (KFP whole, for user modules)
    surroundings,
)
from headrace.executing.annotations import resolved_signature

FUNCTION_ATTRIBUTE = "__headrace_function__"
"""Where a decorated step keeps its plain function."""


def load(target: str, *, engine: Mapping[str, Any], code: str) -> Callable[..., Any]:
    """The step's function, ready for KFP's executor.

    Args:
        target: `module:function`; the module lies on `sys.path`.
        engine: The engine's kind and settings.
        code: Digest of the code behind the function. It changes nothing here: it stands in
            the program so that caches see an edit.

    In a pod the code bundle that the environment names is fetched first.

    Raises:
        StepFailed: The module or the function is not there.
        EnvironmentProblem: The pod's namespace is no site, or its store lacks the code.
    """
    around = surroundings.here()
    if around is not None and around.code:
        bundle.enter(around.store, around.code)
    function = find(target)
    signature = resolved_signature(function, session=engine["kind"] == "spark")

    @functools.wraps(function)
    def run(**arguments: Any) -> Any:
        if context.KFP_POD in os.environ:
            metadata.restore(arguments)
        try:
            return engines.run(function, arguments, engine)
        except Exception as error:
            # Under KFP a traceback is all that would be left of what an error says.
            reports.failed(failures.describe(error))
            raise

    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    if signature.return_annotation is not inspect.Signature.empty:
        run.__annotations__["return"] = signature.return_annotation
    del run.__wrapped__
    return run


def find(target: str) -> Callable[..., Any]:
    """The plain function behind `module:function`."""
    module_name, _, name = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.startswith(error.name):
            raise StepFailed(
                f"The step's module {module_name!r} is not importable: no module {error.name!r}.",
                hint="the project's code must travel with the step: compile it again",
            ) from error
        raise
    found = getattr(module, name, None)
    if found is None:
        raise StepFailed(
            f"The module {module_name!r} has no function {name!r}.",
            where=str(module.__file__),
            hint=did_you_mean(name, vars(module)),
        )
    function = getattr(found, FUNCTION_ATTRIBUTE, found)
    if not inspect.isfunction(function):
        raise StepFailed(f"{target!r} is a {type(found).__name__}, not a function.")
    return function
