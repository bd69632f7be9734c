"""From a compiled executor and resolved inputs to a job that a fork server understands. Pure."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from headrace.authoring.code import embedded_code, project_code
from headrace.authoring.components import read_program
from headrace.compiling.pipeline import CODE_VARIABLE
from headrace.core.errors import EnvironmentProblem, HeadraceError
from headrace.executing import context
from headrace.running import reuse, secrets
from headrace.running.artifacts import Artifact, Outputs
from headrace.running.forkserver import MODULES
from headrace.running.leaf import Leaf
from headrace.running.placeholders import command_line
from headrace.running.session import Session

_EXECUTOR = "kfp.dsl.executor_main"
_PIP = re.compile(r"pip install ([^&\n]*)&&")
_REQUIREMENT = re.compile(r"'([^']+)'")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A step's process to be, and where its results will be found."""

    request: dict[str, Any]
    """What `headrace.executing.main` is given."""
    needs: frozenset[str]
    """Libraries to have imported before the fork."""
    heavy: bool
    """Whether it is forked from the server with heavy libraries."""
    output_file: Path
    """KFP's executor output."""
    parameter_files: dict[str, Path]
    """Where each output parameter may be written instead."""
    artifacts: dict[str, Artifact]
    """The output artifacts as planned."""
    log: Path
    """Everything that it prints."""


def engine_of(executor: Mapping[str, Any]) -> str:
    """What people call the kind of a step with this executor."""
    if "importer" in executor:
        return "importer"
    program = read_program(executor["container"])
    if program is not None:
        ours = program.target.startswith("headrace.")
        return "headrace" if ours else str(program.engine["kind"])
    return "python" if _is_lightweight(executor["container"]) else "container"


def libraries_of(container: Mapping[str, Any], code: Path | None) -> frozenset[str]:
    """The heavy libraries that a step's code imports, by reading it."""
    program = read_program(container)
    if program is None:
        if not _is_lightweight(container):
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
            program=leaf.cache_key, parameters={}, artifacts={}, outputs=outputs
        )
    return fingerprint_of(session, leaf)


def fingerprint_of(session: Session, leaf: Leaf) -> str:
    """The fingerprint of a step with its inputs."""
    outputs = leaf.component.get("outputDefinitions", {})
    container = session.executor(leaf.label)["container"]
    variables = [one for one in container.get("env", []) if one["name"] != CODE_VARIABLE]
    words = [container.get("command", []), container.get("args", [])]
    beside = ""
    if _is_lightweight(container) and read_program(container) is None:
        beside = embedded_code(str(container["command"][-1]), session.code)[0]
    return reuse.fingerprint(
        program=[container["image"], *words, variables, beside],
        parameters=leaf.inputs.parameters,
        artifacts=leaf.inputs.artifacts,
        outputs=outputs,
    )


def make_job(session: Session, leaf: Leaf, *, folder: Path, work: Path, log: Path) -> Job:
    """The job of one attempt.

    Raises:
        EnvironmentProblem: A package or secret that the step asks for is not here.
    """
    container = session.executor(leaf.label)["container"]
    artifacts = {
        name: Artifact(name=name, type=_schema(one), uri=str(folder / name))
        for name, one in leaf.component.get("outputDefinitions", {}).get("artifacts", {}).items()
    }
    declared = leaf.component.get("outputDefinitions", {}).get("parameters", {})
    files = {name: work / "outputs" / name for name in declared}
    output_file = folder / "executor_output.json"  # `dsl.get_uri()` points beside it
    given = _executor_input(leaf.inputs, artifacts, files, output_file)
    for file in [*files.values(), folder / "any"]:
        file.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        **session.environment,
        **secrets.environment(session, leaf),
        **{one["name"]: one.get("value", "") for one in container.get("env", [])},
        context.STEP: leaf.path,
        context.WORK: str(work),
        context.CHECKPOINTS: str(_checkpoints(session, leaf)),
    }
    libraries = session.libraries[leaf.label]
    request: dict[str, Any] = {
        "env": environment, "cwd": os.getcwd(), "log": str(log), "work": str(work),
        "code": str(session.code) if session.code else None,
    }  # fmt: skip
    program = read_program(container)
    if program is not None or _is_lightweight(container):
        _require_packages(container)
        request |= {
            "kind": "python",
            "program": container["command"][-1],
            "function": container["args"][container["args"].index("--function_to_execute") + 1],
            "executor_input": given,
        }
        if "mlflow" in libraries and not (program and program.target.startswith("headrace.")):
            request["tracking"] = str(session.folder / "mlflow.json")
    else:
        words = [*container.get("command", []), *container.get("args", [])]
        run = session.placeholders(leaf.path.rpartition("/")[0], leaf.task_name)
        request |= {"kind": "host", "argv": command_line(words, run, given)}
    return Job(
        request=request,
        needs=libraries,
        heavy=bool(libraries - {"pyspark"}),
        output_file=output_file,
        parameter_files=files,
        artifacts=artifacts,
        log=log,
    )


def _checkpoints(session: Session, leaf: Leaf) -> Path:
    """Where training keeps its checkpoints.

    By fingerprint, so that a run that was killed goes on from there; in the run's own folder
    for a step that is to run whatever there was before.
    """
    if session.use_cache and leaf.cached:
        return session.home.checkpoints / fingerprint_of(session, leaf)
    return session.folder / "checkpoints" / leaf.path


def _executor_input(
    inputs: Outputs,
    artifacts: Mapping[str, Artifact],
    files: Mapping[str, Path],
    output_file: Path,
) -> dict[str, Any]:
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


def _is_lightweight(container: Mapping[str, Any]) -> bool:
    """Whether KFP's compiler made it of a Python function whose source it carries."""
    command = container.get("command", [])
    return any(_EXECUTOR in part for part in command) and command[0] == "sh"


def _require_packages(container: Mapping[str, Any]) -> None:
    """What a component would pip-install must be installed: nothing is, at run time."""
    wanted = [
        requirement
        for part in container["command"][:-1]
        for install in _PIP.findall(part)
        for requirement in _REQUIREMENT.findall(install)
        if not requirement.startswith(("kfp==", "http", "-"))
    ]
    missing = [one for one in wanted if not _installed(one)]
    if missing:
        raise EnvironmentProblem(
            f"The step wants packages that are not installed: {', '.join(missing)}.",
            hint=f"nothing is installed at run time; add them to the project: "
            f"uv add {' '.join(repr(one) for one in missing)}",
        )


def _installed(requirement: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        parsed = Requirement(requirement)
        unneeded = parsed.marker is not None and not parsed.marker.evaluate()
        return unneeded or parsed.specifier.contains(version(parsed.name), prereleases=True)
    except (InvalidRequirement, PackageNotFoundError):
        return False


def _schema(definition: Mapping[str, Any]) -> str:
    return str(definition.get("artifactType", {}).get("schemaTitle", "system.Artifact"))
