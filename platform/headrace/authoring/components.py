"""From a function's signature to a KFP component whose program names the function."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from textwrap import dedent
from typing import Any

from headrace.core.errors import UsageError
from headrace.executing.sdk import dsl

IMAGES = {kind: f"headrace/{kind}" for kind in ("python", "spark", "ray", "serve")}
"""The image of each engine, and the one that loads any model (`serve`); a site has its own."""

_PROGRAM = """\
from headrace.executing.entry import load

{function} = load({target!r}, engine={engine!r}, code={code!r})
"""

# The same shell line that KFP's compiler writes, so that its local runner and its backend
# both take the component for what it is: a Python function component.
_SHELL = dedent("""\
    program_path=$(mktemp -d)

    printf "%s" "$0" > "$program_path/ephemeral_component.py"
    _KFP_RUNTIME=true python3 -m kfp.dsl.executor_main \
    --component_module_path "$program_path/ephemeral_component.py" "$@"
    """)


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a component is made of."""

    function: str
    """The function's name."""
    doc: str | None
    """Its docstring."""
    signature: inspect.Signature
    """Its inputs and outputs, annotations evaluated."""
    target: str
    """`module:function`, where a step finds it."""
    code: str
    """Digest of the code behind it."""
    engine: dict[str, Any]
    """The engine's kind and settings."""
    image: str | None
    """The container image, if not the engine's own."""


def build(definition: Definition) -> Any:
    """The component's specification, as KFP's compiler takes it.

    Raises:
        UsageError: KFP has no type for an annotation.
    """
    structures = import_module("kfp.dsl.structures")
    factory = import_module("kfp.dsl.component_factory")
    shell: Any = _shell_function(definition)
    try:
        spec = factory.extract_component_interface(shell)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The step {definition.function!r} cannot be a component: {error}",
            where=definition.target,
            hint="annotate with str, int, float, bool, list, dict, or KFP's artifact types",
        ) from error
    program = _PROGRAM.format(
        function=definition.function,
        target=definition.target,
        engine=json.loads(json.dumps(definition.engine)),
        code=definition.code,
    )
    spec.implementation = structures.Implementation(
        container=structures.ContainerSpecImplementation(
            image=definition.image or IMAGES[definition.engine["kind"]],
            command=["sh", "-ec", _SHELL, program],
            args=[
                "--executor_input",
                dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
                "--function_to_execute",
                definition.function,
            ],
        )
    )
    return spec


@dataclass(frozen=True, kw_only=True)
class Program:
    """What a Headrace step's program says."""

    target: str
    """`module:function`."""
    engine: dict[str, Any]
    """The engine's kind and settings."""
    code: str
    """Digest of the code behind the function."""


def read_program(container: Mapping[str, Any]) -> Program | None:
    """The program in a compiled container, or None if it is not a Headrace step's."""
    text = str(list(container.get("command", [""]))[-1])
    if "headrace.executing.entry" not in text:
        return None
    (call,) = (one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.Call))
    keywords = {one.arg: ast.literal_eval(one.value) for one in call.keywords}
    return Program(
        target=ast.literal_eval(call.args[0]), engine=keywords["engine"], code=keywords["code"]
    )


def in_pipeline() -> bool:
    """Whether a pipeline function is being traced right now."""
    context = import_module("kfp.dsl.pipeline_context")
    return context.Pipeline.get_default_pipeline() is not None


def _shell_function(definition: Definition) -> Any:
    """A function with nothing inside, which KFP reads the interface from."""

    def shell() -> None: ...

    shell.__name__ = definition.function
    shell.__doc__ = definition.doc
    shell.__signature__ = definition.signature  # type: ignore[attr-defined]
    return shell
