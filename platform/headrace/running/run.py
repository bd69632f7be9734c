"""A run on this machine, from checked arguments to its last word."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace.compiling.pipeline import Compiled, compile_pipeline
from headrace.core.errors import HeadraceError, RunCancelled, UsageError, did_you_mean
from headrace.core.states import State
from headrace.engines import java
from headrace.executing import context
from headrace.running import jobs
from headrace.running.artifacts import Outputs
from headrace.running.dag import Graph, Outcome, Scope, upstream
from headrace.running.launch import Process, Server
from headrace.running.parameters import check_arguments
from headrace.running.session import Event, Session, Slots
from headrace.sites.home import HOME_VARIABLE, Home
from headrace.sites.journal import Journal, process_start

_RECORDER_WAIT = 60.0
_DEFAULT_JOBS = 8


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """How one step ended."""

    step: str
    """Its path in the pipeline."""
    name: str
    """What people call it."""
    state: State
    """Its final state."""
    attempt: int
    """How many attempts it took."""
    inputs: dict[str, Any]
    """Its input artifacts."""
    parameters: dict[str, Any]
    """Its input parameters."""
    outputs: dict[str, Any]
    """What it made: `parameters` and `artifacts`."""
    reused_from: str | None
    """The run whose result stood in."""
    seconds: float
    """How long it took."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended."""

    run_id: str
    """The run's id."""
    state: State
    """Succeeded, failed or cancelled."""
    seconds: float
    """How long it took."""
    outputs: dict[str, Any]
    """The pipeline's outputs: parameters by value, artifacts as the journal has them."""
    error: dict[str, Any] | None
    """What went wrong first."""
    events: list[Event]
    """The journal."""

    @property
    def steps(self) -> list[StepResult]:
        """Every step that ended, in the order of their ends."""
        return [
            StepResult(
                step=one["step"],
                name=one["name"],
                state=State(one["state"]),
                attempt=one.get("attempt", 0),
                inputs=one.get("inputs", {}),
                parameters=one.get("parameters", {}),
                outputs=one.get("outputs", {"parameters": {}, "artifacts": {}}),
                reused_from=one.get("reused_from"),
                seconds=one["seconds"],
            )
            for one in self.events
            if one["type"] == "step_finished"
        ]


def run_pipeline(
    pipeline: Compiled | Any,
    arguments: Mapping[str, Any],
    home: Home,
    *,
    use_cache: bool = True,
    from_step: str | None = None,
    jobs: int | None = None,
    on_event: Callable[[Event], None] | None = None,
    source: str = "",
    record: bool = True,
) -> RunResult:
    """Run a pipeline on this machine. A failed step is a result, not an exception.

    SIGINT, SIGTERM and SIGHUP cancel the run: its steps are ended, a server that it started
    is stopped, and it is recorded as cancelled.

    Args:
        pipeline: A compiled pipeline, or a `@dsl.pipeline` function.
        arguments: Values of its parameters.
        home: Where artifacts, records and logs go.
        use_cache: Whether earlier results with the same fingerprint may stand in.
        from_step: A step that is to run with all after it, whatever could be reused.
        jobs: How many steps may run at once.
        on_event: Told of every event of the journal, as it happens.
        source: What the user typed for the pipeline.
        record: Whether the run is written into MLflow, if MLflow is installed.

    Raises:
        UsageError: An argument or step name that the pipeline does not have.
        EnvironmentProblem: Java is missing, the home cannot be written, its database cannot
            be used.
    """
    compiled = pipeline if isinstance(pipeline, Compiled) else compile_pipeline(pipeline)
    checked = check_arguments(arguments, compiled.parameters)
    plan = _plan(compiled)
    _check_step(from_step, plan)
    extra: dict[str, str] = {}
    if any(one["engine"] == "spark" for one in plan):
        extra["JAVA_HOME"] = str(java.find_java().home)
    home.ensure()
    run = _Run(
        compiled, checked, home, plan, use_cache, from_step, jobs, on_event, source, extra, record
    )
    return asyncio.run(run.run())


class _Run:
    def __init__(
        self, compiled: Compiled, arguments: dict[str, Any], home: Home, plan: list[Event],
        use_cache: bool, from_step: str | None, count: int | None,
        on_event: Callable[[Event], None] | None, source: str, extra: dict[str, str], record: bool,
    ) -> None:  # fmt: skip
        self.arguments = arguments
        self.plan = plan
        self.source = source
        self.began = time.monotonic()
        now = datetime.now(UTC)
        run_id = f"{compiled.name}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        folder = home.run(run_id)
        journal = Journal(folder)
        (folder / "pipeline.yaml").write_text(compiled.text)
        code = _code(compiled, home)
        self.recorded = record and importlib.util.find_spec("mlflow") is not None
        libraries = {
            label: _libraries(executor, code)
            for label, executor in compiled.ir["deploymentSpec"]["executors"].items()
        }
        self.session = Session(
            compiled=compiled,
            run_id=run_id,
            home=home,
            journal=journal,
            slots=Slots(count or max(_DEFAULT_JOBS, os.cpu_count() or 1)),
            use_cache=use_cache,
            from_step=from_step,
            code=code,
            libraries=libraries,
            light=Server([], folder / "forkserver.log"),
            heavy=Server(
                _ahead(compiled, libraries, recorded=self.recorded), folder / "forkserver.log"
            ),
            environment=_environment(home, run_id, compiled.name, code) | extra,
            on_event=on_event,
            started=now.isoformat(timespec="seconds"),
        )

    async def run(self) -> RunResult:
        session = self.session
        if "workspace" in str(session.compiled.platforms.get("kubernetes", {})):
            session.workspace.mkdir(parents=True, exist_ok=True)
        await session.light.start()
        if session.heavy.libraries:
            await session.heavy.start()
        recorder: Process | None = None
        try:
            session.emit(
                type="run_started", run=session.run_id, pipeline=session.compiled.name,
                parameters=self.arguments, code_digest=session.compiled.code_digest,
                git=_git(session.compiled), source=self.source, pid=os.getpid(),
                pid_start=process_start(os.getpid()), steps_total=len(self.plan), plan=self.plan,
            )  # fmt: skip
            recorder = await self.record()
            outcome = await self.walk()
            self.finish(outcome)
        except HeadraceError as error:
            with suppress(HeadraceError):
                self.finish(Outcome(state=State.FAILED, error=session.describe(error)))
            if session.lost:
                raise
        except Exception as error:
            # Our own mistake: say so to whoever reads the journal, then let it be seen.
            with suppress(HeadraceError):
                self.finish(Outcome(state=State.FAILED, error=session.describe(error)))
            raise
        finally:
            if recorder is not None:
                with suppress(TimeoutError, HeadraceError):
                    await asyncio.wait_for(recorder.exited, _RECORDER_WAIT)
            await session.light.close()
            await session.heavy.close()
            session.journal.close()
        end = session.events[-1]
        return RunResult(
            run_id=session.run_id,
            state=State(end["state"]),
            seconds=end["seconds"],
            outputs=end["outputs"],
            error=end["error"],
            events=session.events,
        )

    async def walk(self) -> Outcome:
        """Walk the graph, unless somebody cancels it."""
        root = self.session.compiled.ir["root"]
        given = {key: value for key, value in self.arguments.items() if value is not None}
        graph = Graph(self.session, root, Scope(inputs=Outputs(parameters=given)), "")
        walking = asyncio.create_task(graph.walk())
        with _cancelled_by_signals(walking):
            try:
                return await walking
            except asyncio.CancelledError:
                await asyncio.to_thread(self.stop_servers)
                error = RunCancelled("The run was cancelled.", hint="run again to continue it")
                return Outcome(state=State.CANCELLED, error=self.session.describe(error))
            except BaseExceptionGroup as group:
                raise _first(group) from group

    def stop_servers(self) -> None:
        from headrace.serving import local

        local.stop_of_run(self.session.home, self.session.run_id)

    def finish(self, outcome: Outcome) -> None:
        made = outcome.outputs.to_dict()
        singles = self.session.compiled.ir["root"].get("outputDefinitions", {}).get("artifacts", {})
        artifacts = {
            name: some if singles.get(name, {}).get("isArtifactList") else (some or [None])[0]
            for name, some in made["artifacts"].items()
        }
        self.session.emit(
            type="run_finished", state=outcome.state, seconds=time.monotonic() - self.began,
            error=outcome.error, outputs={**made["parameters"], **artifacts},
        )  # fmt: skip

    async def record(self) -> Process | None:
        """Start the process that writes the run into MLflow, if MLflow is installed."""
        if not self.recorded:
            return None
        request = {
            "kind": "call",
            "call": "headrace.registry.recorder:main",
            "arguments": {"arguments": [str(self.session.folder)]},
            "env": dict(self.session.environment),
            "cwd": os.getcwd(),
            "log": str(self.session.folder / "recorder.log"),
            "work": str(self.session.folder),
            "code": None,
            "outlives": True,
        }
        return await self.session.heavy.run(request, ["mlflow"])


@contextmanager
def _cancelled_by_signals(task: asyncio.Task[Any]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # Outside the main thread signals are the affair of whoever called us.
    with suppress(RuntimeError, ValueError):
        for number in numbers:
            loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in numbers:
            with suppress(RuntimeError, ValueError):
                loop.remove_signal_handler(number)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception behind a task group's, ours before anybody else's."""
    ours, others = group.split(HeadraceError)
    first = (ours or others or group).exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _plan(compiled: Compiled) -> list[Event]:
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
                shown = task.get("taskInfo", {}).get("name") or name
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


def _check_step(step: str | None, plan: list[Event]) -> None:
    names = {one["name"] for one in plan} | {
        part for one in plan for part in one["step"].split("/")
    }
    if step is not None and step not in names:
        raise UsageError(
            f"The pipeline has no step {step!r}.",
            hint=did_you_mean(step, [one["name"] for one in plan]),
        )


def _code(compiled: Compiled, home: Home) -> Path | None:
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


def _libraries(executor: Mapping[str, Any], code: Path | None) -> frozenset[str]:
    container = executor.get("container")
    return jobs.libraries_of(container, code) if container else frozenset()


def _ahead(
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


def _environment(home: Home, run_id: str, pipeline: str, code: Path | None) -> dict[str, str]:
    """The environment of every step: ours, and where everything is."""
    path = [str(code)] if code else []
    path += [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
        "MPLBACKEND": "Agg",
        "MLFLOW_TRACKING_URI": home.tracking_uri,
        "MLFLOW_REGISTRY_URI": home.tracking_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "RAY_TRAIN_V2_ENABLED": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        HOME_VARIABLE: str(home.root),
        context.RUN: run_id,
        context.PIPELINE: pipeline,
    }


def _git(compiled: Compiled) -> dict[str, Any] | None:
    """The state of the repository that the pipeline lies in."""
    if compiled.code is None:
        return None

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(compiled.code.root if compiled.code else "."), *words],
            capture_output=True, text=True, check=True, timeout=5,
        )  # fmt: skip
        return done.stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "branch": git("rev-parse", "--abbrev-ref", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--", ".")),
        }
    except (OSError, subprocess.SubprocessError):
        return None
