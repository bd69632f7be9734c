"""KFP's placeholders, `{{$.inputs.parameters['x']}}` and their like, filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from headrace.core.errors import StepFailed
from headrace.data.store import local_path
from headrace.running.parameters import to_text

_PLACEHOLDER = re.compile(r"\{\{\$(.*?)\}\}", re.DOTALL)
_INPUT = re.compile(r"\.inputs\.parameters\[(['\"])(.+?)\1\]")
_OUTPUT = re.compile(r"\.outputs\.parameters\[(['\"])(.+?)\1\]\.output_file")
_ARTIFACT = re.compile(
    r"\.(inputs|outputs)\.artifacts\[(['\"])(.+?)\2\]\.(path|uri|metadata)(?:\[(['\"])(.+?)\5\])?"
)


def fill(value: Any, run: Mapping[str, str], parameters: Mapping[str, Any]) -> Any:
    """Fill the placeholders in a constant, at any depth, once: a value's own text stays as it is.

    Args:
        value: A constant of the IR.
        run: Values of the run-wide placeholders, such as `pipeline_job_uuid`.
        parameters: The task's other inputs.
    """
    if isinstance(value, str):

        def known(inner: str) -> str | None:
            if match := _INPUT.fullmatch(inner):
                return to_text(parameters[match[2]]) if match[2] in parameters else None
            return run.get(inner.removeprefix("."))

        return _substitute(value, known)
    if isinstance(value, list):
        return [fill(one, run, parameters) for one in value]
    if isinstance(value, dict):
        return {fill(k, run, parameters): fill(v, run, parameters) for k, v in value.items()}
    return value


def command_line(
    parts: list[str], run: Mapping[str, str], executor_input: Mapping[str, Any]
) -> list[str]:
    """A container's command or arguments with everything filled in.

    Args:
        parts: As they stand in the IR.
        run: Values of the run-wide placeholders.
        executor_input: KFP's executor input of the step.
    """
    return [word for part in parts for word in _words(_structured(part), run, executor_input)]


def _structured(part: str) -> Any:
    return json.loads(part) if part.startswith(('{"Concat": ', '{"IfPresent": ')) else part


def _words(part: Any, run: Mapping[str, str], given: Mapping[str, Any]) -> list[str]:
    if isinstance(part, str):
        return [_substitute(part, lambda inner: _value(inner, run, given))]
    if isinstance(part, list):
        return [word for one in part for word in _words(one, run, given)]
    if "Concat" in part:
        return ["".join(word for one in part["Concat"] for word in _words(one, run, given))]
    choice = part["IfPresent"]
    inputs = given["inputs"]
    name = choice["InputName"]
    present = inputs["parameterValues"].get(name) is not None or name in inputs["artifacts"]
    branch = choice.get("Then" if present else "Else")
    return [] if branch is None else _words(branch, run, given)


def _value(inner: str, run: Mapping[str, str], given: Mapping[str, Any]) -> str | None:
    if inner == "":
        return json.dumps(given)
    if inner == ".outputs.output_file":
        return str(given["outputs"]["outputFile"])
    if match := _INPUT.fullmatch(inner):
        value = given["inputs"]["parameterValues"].get(match[2])
        return "" if value is None else to_text(value)
    if match := _OUTPUT.fullmatch(inner):
        return str(given["outputs"]["parameters"][match[2]]["outputFile"])
    if match := _ARTIFACT.fullmatch(inner):
        return _artifact(given[match[1]]["artifacts"].get(match[3]), match[4], match[6])
    return run.get(inner.removeprefix("."))


def _artifact(found: Any, field: str, key: str | None) -> str:
    if not found:
        return ""
    first = found["artifacts"][0]
    if field == "metadata":
        metadata = first.get("metadata", {})
        return to_text(metadata.get(key, "") if key else metadata)
    uri = str(first["uri"])
    # In a store it has a path too, on the disk of the pod.
    return str(local_path(uri)) if field == "path" and "://" in uri else uri


def _substitute(text: str, value: Callable[[str], str | None]) -> str:
    def replace(match: re.Match[str]) -> str:
        found = value(match[1])
        if found is None:
            raise StepFailed(
                f"The placeholder {match[0]} has no value here.",
                hint="an input that was left out cannot be part of a text, and what only "
                "Kubernetes knows is not known on the laptop",
            )
        return found

    return _PLACEHOLDER.sub(replace, text)
