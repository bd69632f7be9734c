"""A step's inputs and outputs, from what KFP's executor was given and has written. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.errors import StepFailed
from headrace.running.artifacts import Artifact, Outputs
from headrace.running.kubeflow.podlog import PodLog
from headrace.running.kubeflow.workflow import Pod, StepNow
from headrace.running.parameters import convert

_METRICS = "system.Metrics"
_OF_KFP = ("display_name", "store_session_info")
_LOGS = "executor-logs"


def inputs_of(step: StepNow, given: Mapping[str, Any]) -> Outputs:
    """A step's inputs, from what its executor was given."""
    inputs = given.get("inputs", {})
    declared = _declared(step, "artifacts", side="input")
    return Outputs(
        parameters=_converted(inputs.get("parameterValues", {}), step, "input"),
        artifacts={
            name: [
                _artifact(name, declared.get(name, {}), one, wrapped=True)
                for one in some["artifacts"]
            ]
            for name, some in inputs.get("artifacts", {}).items()
        },
    )


def outputs_of(step: StepNow, pod: Pod, log: PodLog | None) -> Outputs:
    """What a step made: what its executor wrote, over what was planned."""
    if log is not None and log.imported:
        return _imported(step, log.imported)
    wrote = log.output if log else {}
    planned = pod.given.get("outputs", {}).get("artifacts", {})
    artifacts = {}
    for name, one in _declared(step, "artifacts").items():
        found = [*planned.get(name, {}).get("artifacts", [])[:1]]
        found += wrote.get("artifacts", {}).get(name, {}).get("artifacts", [])[:1]
        if found:
            artifacts[name] = [_artifact(name, one, {**found[0], **found[-1]})]
    values = _converted(wrote.get("parameterValues", {}), step, "output")
    return Outputs(parameters=values, artifacts=artifacts)


def _imported(step: StepNow, uri: str) -> Outputs:
    (name, one), *_ = _declared(step, "artifacts").items()
    given = step.executor["importer"].get("metadata", {})
    metadata = {key: value for key, value in given.items() if "{{" not in f"{key}{value}"}
    artifact = Artifact(name=name, type=_schema(one), uri=uri, metadata=metadata)
    return Outputs(artifacts={name: [artifact]})


def _declared(step: StepNow, kind: str, *, side: str = "output") -> Mapping[str, Any]:
    found: Mapping[str, Any] = step.component.get(f"{side}Definitions", {}).get(kind, {})
    return {name: one for name, one in found.items() if name != _LOGS}


def _converted(values: Mapping[str, Any], step: StepNow, side: str) -> dict[str, Any]:
    """Values as the component's types: on their way they were JSON, whose numbers have none."""
    declared = _declared(step, "parameters", side=side)
    found = {}
    for name, value in values.items():
        try:
            kind = declared[name]["parameterType"]
            found[name] = convert(value, kind, name)
        except (KeyError, StepFailed, ValueError):
            found[name] = value
    return found


def _artifact(
    name: str, declared: Mapping[str, Any], raw: Mapping[str, Any], *, wrapped: bool = False
) -> Artifact:
    metadata = raw.get("metadata") or {}
    if wrapped:
        metadata = {key: _plain(one) for key, one in metadata.items()}
    return Artifact(
        name=name,
        type=_schema(declared),
        uri=raw.get("uri", ""),
        metadata={key: one for key, one in metadata.items() if key not in _OF_KFP},
    )


def _schema(declared: Mapping[str, Any]) -> str:
    return str(declared.get("artifactType", {}).get("schemaTitle", "system.Artifact"))


def _plain(value: Any) -> Any:
    """A metadata value without the wrapping that KFP's record puts around lists and mappings."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if (key == "list" and isinstance(inner, list)) or (
            key == "struct" and isinstance(inner, dict)
        ):
            return inner
    return value


def metrics_of(made: Outputs) -> dict[str, float]:
    """The figures in the metrics that a step made."""
    return {
        key: float(value)
        for some in made.artifacts.values()
        for one in some
        if one.type == _METRICS
        for key, value in one.metadata.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
