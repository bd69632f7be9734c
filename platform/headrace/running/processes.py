"""From an attempt at a step to a job that a fork server of this machine understands."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.authoring.components import read_program
from headrace.executing import context, packages
from headrace.running import jobs, secrets
from headrace.running.artifacts import Artifact
from headrace.running.leaf import Leaf
from headrace.running.placeholders import command_line
from headrace.running.session import Session


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


def make_job(
    session: Session,
    leaf: Leaf,
    *,
    folder: Path,
    work: Path,
    log: Path,
    environment: Mapping[str, str],
    libraries: frozenset[str],
) -> Job:
    """The job of one attempt.

    Args:
        session: The run.
        leaf: The step.
        folder: Where its outputs go.
        work: Where it talks to its runner.
        log: Where everything goes that it prints.
        environment: What every step's environment has.
        libraries: The heavy libraries that its code imports.

    Raises:
        EnvironmentProblem: A package or secret that the step asks for is not here.
    """
    container = session.executor(leaf.label)["container"]
    artifacts = jobs.planned_artifacts(leaf.component, str(folder))
    declared = jobs.declared_parameters(leaf.component)
    files = {name: work / "outputs" / name for name in declared}
    output_file = folder / "executor_output.json"  # `dsl.get_uri()` points beside it
    given = jobs.executor_input(leaf.inputs, artifacts, files, output_file)
    for file in [*files.values(), folder / "any"]:
        file.parent.mkdir(parents=True, exist_ok=True)
    variables = {
        **environment,
        **secrets.environment(session, leaf),
        **{one["name"]: one.get("value", "") for one in container.get("env", [])},
        context.STEP: leaf.path,
        context.WORK: str(work),
        context.CHECKPOINTS: str(_checkpoints(session, leaf)),
    }
    request: dict[str, Any] = {
        "env": variables, "cwd": os.getcwd(), "log": str(log), "work": str(work),
        "code": str(session.code) if session.code else None,
    }  # fmt: skip
    program = read_program(container)
    if program is not None or jobs.is_lightweight(container):
        packages.require(jobs.packages_of(container), remedy="add them to the project with uv add")
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
        return session.home.checkpoints / jobs.fingerprint_of(session, leaf)
    return session.folder / "checkpoints" / leaf.path
