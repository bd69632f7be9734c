"""KFP's SDK, whole but for its client.

`import kfp` alone loads the Kubernetes client and KFP's API client, more than half of its
import time, and nothing here calls a server. KFP leaves them out where it believes to run
inside a step, but then it leaves out `dsl.pipeline` and `dsl.component` as well, which a
user's module may use beside its steps. This loads the latter without the former, whichever
way KFP was imported before; `kfp.Client` still works, on first use.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_RUNTIME = "_KFP_RUNTIME"


@contextmanager
def _runtime(value: str | None) -> Iterator[None]:
    before = os.environ.pop(_RUNTIME, None)
    if value is not None:
        os.environ[_RUNTIME] = value
    try:
        yield
    finally:
        os.environ.pop(_RUNTIME, None)
        if before is not None:
            os.environ[_RUNTIME] = before


def _late(name: str) -> Any:
    if name == "Client":
        return importlib.import_module("kfp.client").Client
    raise AttributeError(f"module 'kfp' has no attribute {name!r}")


def _load() -> Any:
    new = "kfp" not in sys.modules
    with _runtime("true"):
        kfp: Any = importlib.import_module("kfp")
    with _runtime(None):
        dsl = importlib.import_module("kfp.dsl")
        if not hasattr(dsl, "pipeline"):
            importlib.reload(dsl)
        importlib.import_module("kfp.components")
    if new:
        kfp.__getattr__ = _late
    return kfp


def _mend_conditions() -> None:
    """Have the compiler write conditions that say what the pipeline says.

    It puts a string constant between quotes as it is, so that a quote in it ends it early
    and a backslash escapes what follows; and it turns a number's reference into a string
    constant when the two are compared. Both make branches silently false.
    """
    builder: Any = importlib.import_module("kfp.compiler.pipeline_spec_builder")
    channel = importlib.import_module("kfp.dsl.pipeline_channel").PipelineChannel
    original = builder._single_binary_operation_to_cel_condition

    def textual(one: Any) -> bool:
        return isinstance(one, str) or (isinstance(one, channel) and one.channel_type == "String")

    def operand(one: Any) -> str:
        if isinstance(one, channel):
            name = builder.compiler_utils.additional_input_name_for_pipeline_channel(one)
            reference = f"inputs.parameter_values['{name}']"
            if textual(one):
                return reference
            return (
                f"string(int({reference}))"
                if one.channel_type == "Integer"
                else f"string({reference})"
            )
        text = str(one).lower() if isinstance(one, bool) else str(one)
        for character, escape in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\r", "\\r")):
            text = text.replace(character, escape)
        return f"'{text}'"

    def condition(operation: Any) -> str:
        sides = (operation.left_operand, operation.right_operand)
        if not any(textual(one) for one in sides):
            return str(original(operation))
        compared = f"{operand(sides[0])} {operation.operator} {operand(sides[1])}"
        return f"!({compared})" if operation.negate else compared

    builder._single_binary_operation_to_cel_condition = condition


kfp = _load()
_mend_conditions()
dsl: Any = importlib.import_module("kfp.dsl")
PythonComponent: Any = importlib.import_module("kfp.dsl.python_component").PythonComponent
