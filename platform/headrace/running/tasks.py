"""What the IR says of a task: what it waits for, its inputs' types, a loop's outputs. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.core.errors import StepFailed
from headrace.running.artifacts import Outputs
from headrace.running.parameters import convert
from headrace.running.scope import Absent, Outcome
from headrace.running.session import Session

_SELECTOR = re.compile(r"parseJson\(string_value\)\[(['\"])(.+)\1\]")


def upstream(task: Mapping[str, Any]) -> set[str]:
    """The tasks that a task waits for: those it names, and those whose outputs it reads."""
    inputs = task.get("inputs", {})
    sources = [*inputs.get("parameters", {}).values(), *inputs.get("artifacts", {}).values()]
    producers = {
        source[kind]["producerTask"]
        for source in sources
        for kind in ("taskOutputParameter", "taskOutputArtifact", "taskFinalStatus")
        if kind in source
    }
    return producers | set(task.get("dependentTasks", []))


def leaves(session: Session, task: Any, path: str) -> Iterator[tuple[str, str]]:
    """Paths and names of the steps inside a task."""
    component = session.component(task)
    if "dag" not in component:
        yield path, display(path.rpartition("/")[2], task)
        return
    for name, inner in component["dag"].get("tasks", {}).items():
        yield from leaves(session, inner, f"{path}/{name}")


def display(name: str, task: Any) -> str:
    """What people call a task."""
    return str(task.get("taskInfo", {}).get("name") or name)


def definitions(component: Any, side: str, kind: str) -> Mapping[str, Any]:
    """A component's declared inputs or outputs of a kind, by name."""
    found: Mapping[str, Any] = component.get(f"{side}Definitions", {}).get(kind, {})
    return found


def typed(values: Mapping[str, Any], component: Any) -> dict[str, Any]:
    """Values as the component's types; its own defaults for what is missing."""
    declared = definitions(component, "input", "parameters")
    typed = {
        key: convert(value, declared[key]["parameterType"], key) if key in declared else value
        for key, value in values.items()
        if value is not None
    }
    for key, one in declared.items():
        if key not in typed and "defaultValue" in one:
            typed[key] = convert(one["defaultValue"], one["parameterType"], key)
    return typed


def require(component: Any, parameters: Any, artifacts: Any) -> None:
    """Every input that is not optional must be there, in a step; a graph may hand on nothing."""
    if "dag" in component:
        return
    for kind, given in (("parameters", parameters), ("artifacts", artifacts)):
        for key, one in definitions(component, "input", kind).items():
            if key not in given and not one.get("isOptional"):
                raise Absent(f"its input {key!r} comes from a branch that was not taken")


def selected(value: Any, selector: str | None) -> Any:
    """The field of a value that a selector names, or the value itself.

    Raises:
        StepFailed: There is no such field.
    """
    if not selector:
        return value
    match = _SELECTOR.fullmatch(selector)
    parsed = json.loads(value) if isinstance(value, str) else value
    if match is None or not isinstance(parsed, dict) or match[2] not in parsed:
        raise StepFailed(f"{selector} finds nothing in {value!r}.")
    return parsed[match[2]]


def collected(component: Any, outcomes: list[Outcome]) -> Outputs:
    """A loop's outputs: parameters as a list per loop, artifacts as one flat list."""
    made = [one.outputs for one in outcomes]
    return Outputs(
        parameters={
            name: [one.parameters[name] for one in made if name in one.parameters]
            for name in definitions(component, "output", "parameters")
        },
        artifacts={
            name: [artifact for one in made for artifact in one.artifacts.get(name, [])]
            for name in definitions(component, "output", "artifacts")
        },
    )
