"""From what a step wrote to its output parameters, checked against what it promised. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.errors import StepFailed
from headrace.running import jobs
from headrace.running.parameters import convert, from_text


def parameters(
    component: Mapping[str, Any], values: Mapping[str, Any], texts: Mapping[str, str], *, log: str
) -> dict[str, Any]:
    """A step's output parameters.

    Args:
        component: Its component.
        values: What KFP's executor wrote.
        texts: What the step wrote into files of their own.
        log: Where its log lies, for errors.

    Raises:
        StepFailed: One that it promised is missing.
    """
    found = {
        name: _parameter(name, one, values, texts, log)
        for name, one in jobs.declared_parameters(component).items()
    }
    return {name: value for name, value in found.items() if value is not None}


def _parameter(
    name: str, definition: Any, values: Mapping[str, Any], texts: Mapping[str, str], log: str
) -> Any:
    kind = definition["parameterType"]
    if name in values:
        return convert(values[name], kind, name)
    if name in texts:
        return from_text(texts[name], kind, name)
    if definition.get("isOptional"):
        return None
    raise StepFailed(
        f"The step ended without its output {name!r}.",
        where=log,
        hint="return a value, or write it to the path given",
    )
