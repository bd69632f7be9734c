"""A run that this process drives, from checked arguments to its last word."""

from __future__ import annotations

import asyncio
import errno
import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace.compiling.pipeline import Compiled, compile_pipeline
from headrace.core.errors import EnvironmentProblem, HeadraceError, RunCancelled
from headrace.core.states import State
from headrace.engines import java
from headrace.registry import database
from headrace.running import environment, naming, plan
from headrace.running.artifacts import Outputs
from headrace.running.dag import Graph
from headrace.running.local import LocalPlace
from headrace.running.parameters import check_arguments
from headrace.running.place import Place
from headrace.running.results import RunResult
from headrace.running.scope import Outcome, Scope
from headrace.running.session import Session, Slots
from headrace.running.signals import on_signals
from headrace.sites.home import Home
from headrace.sites.journal import Event, Journal, process_start

_RECORDER_WAIT = 60.0
_DEFAULT_JOBS = 8


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
    name: str = "",
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
        name: What the run is called, once in this home; made up unless given.

    Raises:
        UsageError: An argument or step name that the pipeline does not have, a name that is taken.
        EnvironmentProblem: Java is missing, the home cannot be written, its database cannot
            be used.
    """
    compiled = pipeline if isinstance(pipeline, Compiled) else compile_pipeline(pipeline)
    checked = check_arguments(arguments, compiled.parameters)
    planned = plan.steps(compiled)
    plan.check_step(from_step, planned)
    if name:
        naming.require_free(name, home)
    extra: dict[str, str] = {}
    if any(one["engine"] == "spark" for one in planned):
        extra["JAVA_HOME"] = str(java.find_java().home)
    options = Options(
        use_cache=use_cache,
        from_step=from_step,
        jobs=jobs or max(_DEFAULT_JOBS, os.cpu_count() or 1),
        on_event=on_event,
        source=source,
        record=record and importlib.util.find_spec("mlflow") is not None,
        name=name,
    )
    if options.record:
        with _writable(home):
            home.ensure()
            database.inspect(home.database)
    return drive(
        compiled, checked, home, planned, options,
        code=lambda: plan.code(compiled, home),
        make_place=lambda session: LocalPlace(session, extra),
    )  # fmt: skip


def drive(
    compiled: Compiled,
    arguments: Mapping[str, Any],
    home: Home,
    planned: list[Event],
    options: Options,
    *,
    code: Callable[[], Path | None],
    make_place: Callable[[Session], Place],
) -> RunResult:
    """Drive a run to its end, wherever its steps take place.

    Args:
        compiled: The pipeline.
        arguments: Checked values of its parameters.
        home: Where the run's own record goes.
        planned: Its steps as far as they are known.
        options: How to run.
        code: Finds the unpacked code of the pipeline's steps.
        make_place: Makes the place where steps run.

    Raises:
        EnvironmentProblem: The home cannot be written.
    """
    with _writable(home):
        home.ensure()
        run = _Run(compiled, arguments, home, planned, options, code(), make_place)
    return asyncio.run(run.run())


@contextmanager
def _writable(home: Home) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(home, error) from error


def _unwritable(home: Home, error: OSError) -> EnvironmentProblem:
    full = error.errno == errno.ENOSPC
    return EnvironmentProblem(
        f"The home cannot be written: {error.strerror}.",
        where=str(home.root),
        hint="free some disk space and run again; what is complete is kept"
        if full
        else "choose another folder with --home or HEADRACE_HOME, or make this one writable",
    )


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to run; see `run_pipeline`."""

    use_cache: bool
    """Whether earlier results may stand in."""
    from_step: str | None
    """The step that is to run with all after it."""
    jobs: int
    """How many steps may run at once."""
    on_event: Callable[[Event], None] | None
    """Told of every event."""
    source: str
    """What the user typed for the pipeline."""
    record: bool
    """Whether the run is written into MLflow."""
    run_id: str = ""
    """The run to pick up again; empty for a new one."""
    name: str = ""
    """What a new run is called; made up if empty."""
    site: Mapping[str, str] = field(default_factory=dict)
    """Context and namespace of the cluster that it runs on; empty for this machine."""


class _Run:
    def __init__(
        self,
        compiled: Compiled,
        arguments: Mapping[str, Any],
        home: Home,
        planned: list[Event],
        options: Options,
        code: Path | None,
        make_place: Callable[[Session], Place],
    ) -> None:
        self.arguments = arguments
        self.planned = planned
        self.options = options
        self.interrupted = False
        self.awaited: asyncio.Future[Any] | None = None
        self.began = time.monotonic()
        now = datetime.now(UTC)
        run_id = options.run_id or options.name or naming.made_up(compiled.name, now)
        folder = home.run(run_id)
        journal = Journal(folder)
        (folder / "pipeline.yaml").write_text(compiled.text)
        self.session = Session(
            compiled=compiled,
            run_id=run_id,
            home=home,
            journal=journal,
            slots=Slots(options.jobs),
            use_cache=options.use_cache,
            from_step=options.from_step,
            code=code,
            recorded=options.record,
            on_event=options.on_event,
            started=now.isoformat(timespec="seconds"),
        )
        self.session.place = self.place = make_place(self.session)

    async def run(self) -> RunResult:
        with on_signals(self.interrupt):
            await self.begin_to_end()
        end = self.session.events[-1]
        return RunResult(
            run_id=self.session.run_id,
            state=State(end["state"]),
            seconds=end["seconds"],
            outputs=end["outputs"],
            error=end["error"],
            events=self.session.events,
        )

    def interrupt(self) -> None:
        """Cancel the run; once it is over, wait for nothing more."""
        self.interrupted = True
        if self.awaited is not None:
            self.awaited.cancel()

    async def begin_to_end(self) -> None:
        session = self.session
        recorder: Any = None
        try:
            await self.place.start()
            session.emit(
                type="run_started", run=session.run_id, pipeline=session.compiled.name,
                parameters=self.arguments, code_digest=session.compiled.code_digest,
                git=environment.git_state(session.compiled), source=self.options.source,
                named=bool(self.options.name),
                site=dict(self.options.site) or None,
                pid=os.getpid(),
                pid_start=process_start(os.getpid()),
                steps_total=len(self.planned), plan=self.planned,
            )  # fmt: skip
            recorder = await self.place.record() if self.options.record else None
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
            if recorder is not None and not session.lost:
                await self.settle(recorder)
            await self.place.close()
            with suppress(OSError):  # the disk is full, which was said
                session.journal.close()

    async def settle(self, recorder: Any) -> None:
        """Let the recorder finish; for whoever is impatient, it goes on without us."""
        self.awaited = asyncio.shield(recorder)
        await asyncio.wait([self.awaited], timeout=_RECORDER_WAIT)
        if self.awaited.done() and not self.awaited.cancelled():
            self.awaited.exception()  # it was recorded elsewhere, or nowhere: the run stands

    async def walk(self) -> Outcome:
        """Walk the graph, unless somebody cancels it."""
        root = self.session.compiled.ir["root"]
        given = {key: value for key, value in self.arguments.items() if value is not None}
        graph = Graph(self.session, root, Scope(inputs=Outputs(parameters=given)), "")
        walking = asyncio.create_task(graph.walk())
        self.awaited = walking
        if self.interrupted:
            walking.cancel()
        try:
            return await walking
        except asyncio.CancelledError:
            await asyncio.to_thread(self.place.stop_servers)
            error = RunCancelled("The run was cancelled.", hint="run again to continue it")
            return Outcome(state=State.CANCELLED, error=self.session.describe(error))
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            self.awaited = None

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


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception behind a task group's, ours before anybody else's."""
    ours, others = group.split(HeadraceError)
    first = (ours or others or group).exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
