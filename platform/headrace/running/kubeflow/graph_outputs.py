"""A pipeline's outputs, out of what its steps made. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.states import State
from headrace.running import tasks
from headrace.running.artifacts import Outputs
from headrace.running.scope import Outcome


def outputs_of_run(ir: Mapping[str, Any], made: Mapping[str, Outputs]) -> dict[str, Any]:
    """The outputs of a run as its last event has them.

    Args:
        ir: The pipeline's specification.
        made: What each step made that ended well, by its path.
    """
    found = _of_graph(ir, ir["root"], "", made).to_dict()
    declared = tasks.definitions(ir["root"], "output", "artifacts")
    artifacts = {
        name: some if declared.get(name, {}).get("isArtifactList") else (some or [None])[0]
        for name, some in found["artifacts"].items()
    }
    return {**found["parameters"], **artifacts}


def _of_graph(
    ir: Mapping[str, Any], component: Any, path: str, made: Mapping[str, Outputs]
) -> Outputs:
    declared = component["dag"].get("outputs", {})
    parameters: dict[str, Any] = {}
    artifacts: dict[str, Any] = {}

    def of_task(name: str) -> Outputs:
        return _of_task(ir, component["dag"]["tasks"][name], f"{path}{name}", made)

    for name, source in declared.get("parameters", {}).items():
        selectors = source.get("valueFromOneof", {}).get("parameterSelectors")
        for one in selectors or [source["valueFromParameter"]]:
            values = of_task(one["producerSubtask"]).parameters
            if one["outputParameterKey"] in values:
                parameters[name] = values[one["outputParameterKey"]]
                break
    for name, source in declared.get("artifacts", {}).items():
        for one in source["artifactSelectors"]:
            some = of_task(one["producerSubtask"]).artifacts
            if one["outputArtifactKey"] in some:
                artifacts[name] = some[one["outputArtifactKey"]]
                break
    return Outputs(parameters=parameters, artifacts=artifacts)


def _of_task(ir: Mapping[str, Any], task: Any, path: str, made: Mapping[str, Outputs]) -> Outputs:
    component = ir["components"][task["componentRef"]["name"]]
    if "dag" not in component:
        return made.get(path, Outputs())
    if "parameterIterator" not in task and "artifactIterator" not in task:
        return _of_graph(ir, component, f"{path}/", made)
    beginning = f"{path}/"
    rest = [one.removeprefix(beginning) for one in made if one.startswith(beginning)]
    indices = sorted({int(one.partition("/")[0]) for one in rest})
    return tasks.collected(
        component,
        [
            Outcome(
                state=State.SUCCEEDED,
                outputs=_of_graph(ir, component, f"{path}/{index}/", made),
            )
            for index in indices
        ],
    )
