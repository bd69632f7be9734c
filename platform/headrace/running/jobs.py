"""From the IR to what a step is: engine, fingerprint, what KFP's executor is given. Pure."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.authoring.code import embedded_code, project_code
from headrace.authoring.components import read_program
from headrace.compiling.pipeline import CODE_VARIABLE
from headrace.core.errors import HeadraceError
from headrace.data.store import local_path
from headrace.running import reuse
from headrace.running.artifacts import Artifact, Outputs
from headrace.running.forkserver import MODULES
from headrace.running.leaf import Leaf
from headrace.running.place import Attempt
from headrace.running.session import Session

OURS = "headrace"
"""What the ready components' kind is called."""
_EXECUTOR = "kfp.dsl.executor_main"
_PIP = re.compile(r"pip install ([^&\n]*)&&")
_REQUIREMENT = re.compile(r"'([^']+)'")


def engine_of(executor: Mapping[str, Any]) -> str:
    """What people call the kind of a step with this executor."""
    if "importer" in executor:
        return "importer"
    program = read_program(executor["container"])
    if program is not None:
        ours = program.target.startswith("headrace.")
        return OURS if ours else str(program.engine["kind"])
    return "python" if is_lightweight(executor["container"]) else "container"


def libraries_of(container: Mapping[str, Any], code: Path | None) -> frozenset[str]:
    """The heavy libraries that a step's code imports, by reading it."""
    program = read_program(container)
    if program is None:
        if not is_lightweight(container):
            return frozenset()
        return embedded_code(str(container["command"][-1]), code)[1] & MODULES.keys()
    root = code
    if program.target.startswith("headrace."):
        spec = importlib.util.find_spec("headrace")
        assert spec is not None and spec.origin is not None
        root = Path(spec.origin).parents[1]
    try:
        found = project_code(program.target, root) if root else None
    except HeadraceError:
        found = None  # it will say so itself when it runs
    names = set(found.libraries) if found else set()
    if program.engine["kind"] == "ray":
        names |= {"ray", "torch"}
    if program.engine["kind"] == "spark":
        names -= {"pandas", "pyarrow", "numpy"}  # the session alone is what it waits for
    return frozenset(names & MODULES.keys())


def cache_key_of(session: Session, leaf: Leaf) -> str:
    """What a result is found by: the key that the author gave, or else the fingerprint."""
    if leaf.cache_key:
        outputs = leaf.component.get("outputDefinitions", {})
        return reuse.fingerprint(
            program=leaf.cache_key,
            parameters={},
            artifacts={},
            outputs=outputs,
            environment=session.place.environment_digest(),
        )
    return fingerprint_of(session, leaf)


def fingerprint_of(session: Session, leaf: Leaf) -> str:
    """The fingerprint of a step with its inputs."""
    outputs = leaf.component.get("outputDefinitions", {})
    container = session.executor(leaf.label)["container"]
    variables = [one for one in container.get("env", []) if one["name"] != CODE_VARIABLE]
    words = [container.get("command", []), container.get("args", [])]
    beside = ""
    if is_lightweight(container) and read_program(container) is None:
        beside = embedded_code(str(container["command"][-1]), session.code)[0]
    return reuse.fingerprint(
        program=[container["image"], *words, variables, beside],
        parameters=leaf.inputs.parameters,
        artifacts=leaf.inputs.artifacts,
        outputs=outputs,
        environment=session.place.environment_digest(),
    )


def planned_artifacts(component: Mapping[str, Any], root: str) -> dict[str, Artifact]:
    """The output artifacts of a component, to be written below `root`."""
    declared = component.get("outputDefinitions", {}).get("artifacts", {})
    return {
        name: Artifact(name=name, type=_schema(one), uri=f"{root}/{name}")
        for name, one in declared.items()
    }


def declared_parameters(component: Mapping[str, Any]) -> Mapping[str, Any]:
    """The output parameters that a component promises, by name."""
    found: Mapping[str, Any] = component.get("outputDefinitions", {}).get("parameters", {})
    return found


def executor_input(
    inputs: Outputs,
    artifacts: Mapping[str, Artifact],
    files: Mapping[str, Path],
    output_file: Path,
) -> dict[str, Any]:
    """What KFP's executor is given: inputs as they are, outputs as they are to be."""
    return {
        "inputs": {
            "parameterValues": inputs.parameters,
            "artifacts": {
                name: {"artifacts": [one.to_kfp() for one in some]}
                for name, some in inputs.artifacts.items()
            },
        },
        "outputs": {
            "parameters": {name: {"outputFile": str(file)} for name, file in files.items()},
            "artifacts": {name: {"artifacts": [one.to_kfp()]} for name, one in artifacts.items()},
            "outputFile": str(output_file),
        },
    }


def is_lightweight(container: Mapping[str, Any]) -> bool:
    """Whether KFP's compiler made it of a Python function whose source it carries."""
    command = container.get("command", [])
    return any(_EXECUTOR in part for part in command) and command[0] == "sh"


def packages_of(container: Mapping[str, Any]) -> list[str]:
    """The packages that a component would have pip install, in pip's notation."""
    return [
        requirement
        for part in container["command"][:-1]
        for install in _PIP.findall(part)
        for requirement in _REQUIREMENT.findall(install)
        if not requirement.startswith(("kfp==", "http", "-"))
    ]


def _schema(definition: Mapping[str, Any]) -> str:
    return str(definition.get("artifactType", {}).get("schemaTitle", "system.Artifact"))


def pod_job(session: Session, attempt: Attempt, root: str) -> dict[str, Any]:
    """What `headrace.executing.pod` is given.

    Args:
        session: The run.
        attempt: The attempt.
        root: The URI below which its outputs go.
    """
    leaf = attempt.leaf
    container = session.executor(leaf.label)["container"]
    artifacts = planned_artifacts(leaf.component, root)
    files = {name: Path("/work/outputs") / name for name in declared_parameters(leaf.component)}
    given = executor_input(leaf.inputs, artifacts, files, local_path(root) / "executor_output.json")
    job: dict[str, Any] = {"engine": attempt.engine, "executor_input": given}
    if attempt.engine == "container":
        return job
    arguments = container["args"]
    program = read_program(container)
    libraries = libraries_of(container, session.code)
    foreign = program is None or not program.target.startswith("headrace.")
    return job | {
        "program": container["command"][-1],
        "function": arguments[arguments.index("--function_to_execute") + 1],
        "tracking": "mlflow" in libraries and foreign,
        "packages": packages_of(container),
    }
