"""What is known of a run before it starts: its steps, its code, what to import ahead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headrace.compiling.pipeline import Compiled
from headrace.core.errors import UsageError, did_you_mean
from headrace.running import jobs
from headrace.running.tasks import display, upstream
from headrace.sites.home import Home
from headrace.sites.journal import Event


def steps(compiled: Compiled) -> list[Event]:
    """The steps that are known before anything runs, in an order in which they could run."""
    components = compiled.ir["components"]
    executors = compiled.ir["deploymentSpec"]["executors"]

    def inside(dag: Any, path: str) -> Iterator[Event]:
        for name in _in_order(dag.get("tasks", {})):
            task = dag["tasks"][name]
            component = components[task["componentRef"]["name"]]
            here = f"{path}/{name}" if path else name
            if "dag" in component:
                yield from inside(component["dag"], here)
            else:
                shown = display(name, task)
                engine = jobs.engine_of(executors[component["executorLabel"]])
                yield {"step": here, "name": shown, "engine": engine}

    return list(inside(compiled.ir["root"]["dag"], ""))


def _in_order(tasks: Mapping[str, Any]) -> list[str]:
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in tasks and name not in ordered:
            for before in sorted(upstream(tasks[name])):
                visit(before)
            ordered.append(name)

    for name in tasks:
        visit(name)
    return ordered


def check_step(step: str | None, plan: list[Event]) -> None:
    """Refuse a step that the pipeline does not have.

    Raises:
        UsageError: With the near misses named.
    """
    names = {one["name"] for one in plan} | {
        part for one in plan for part in one["step"].split("/")
    }
    if step is not None and step not in names:
        raise UsageError(
            f"The pipeline has no step {step!r}.",
            hint=did_you_mean(step, [one["name"] for one in plan]),
        )


def code(compiled: Compiled, home: Home) -> Path | None:
    """The unpacked code of the pipeline's steps."""
    if compiled.code is not None:
        return compiled.code.unpack(home.code)
    if not compiled.code_digest:
        return None
    folder = home.code / compiled.code_digest.removeprefix("sha256:")
    if not folder.is_dir():
        raise UsageError(
            "The code of this compiled pipeline is not here.",
            where=str(folder),
            hint="compile it on this machine, or run its folder instead of the YAML",
        )
    return folder


def libraries(executor: Mapping[str, Any], code: Path | None) -> frozenset[str]:
    """The heavy libraries that an executor's code imports; none for importers."""
    container = executor.get("container")
    return jobs.libraries_of(container, code) if container else frozenset()


def ahead(
    compiled: Compiled, libraries: Mapping[str, frozenset[str]], *, recorded: bool
) -> list[str]:
    """What to import ahead, in the order in which the pipeline will want it.

    MLflow comes along wherever the run is recorded: the recorder needs it.
    """
    components = compiled.ir["components"]
    wanted: list[str] = []

    def inside(dag: Any) -> None:
        for name in _in_order(dag.get("tasks", {})):
            component = components[dag["tasks"][name]["componentRef"]["name"]]
            if "dag" in component:
                inside(component["dag"])
            else:
                wanted.extend(sorted(libraries.get(component["executorLabel"], ()), key=_cost))

    inside(compiled.ir["root"]["dag"])
    wanted += ["mlflow"] if recorded else []
    return [one for one in dict.fromkeys(wanted) if one != "pyspark"]


def _cost(library: str) -> tuple[int, str]:
    # Ray's modules import torch's; everything else is cheaper the earlier numpy is there.
    return (
        ["numpy", "pandas", "torch", "ray"].index(library)
        if library in ("numpy", "pandas", "torch", "ray")
        else 9,
        library,
    )
