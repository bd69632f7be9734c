"""A run that the site's Kubeflow Pipelines carries out, written down here as it happens."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from headrace.cluster.forwarding import reach
from headrace.compiling.pipeline import Compiled
from headrace.core.errors import HeadraceError
from headrace.core.states import State
from headrace.executing import failures
from headrace.running import environment, naming, recording
from headrace.running.kubeflow import runs as kubeflow
from headrace.running.kubeflow.listing import is_there
from headrace.running.results import RunResult
from headrace.running.run import Options
from headrace.running.signals import on_signals
from headrace.running.target import Target
from headrace.sites.home import Home
from headrace.sites.journal import Event, Journal, process_start, read_events

_PATIENCE = 600.0
_RECORDER_WAIT = 60.0


@dataclass(kw_only=True)
class Submission:
    """One run that a server carries out."""

    compiled: Compiled
    """The pipeline."""
    text: str
    """Its YAML, with the site's images."""
    arguments: Mapping[str, Any]
    """Checked values of its parameters."""
    planned: list[Event]
    """Its steps as far as they are known."""
    home: Home
    """Where the run's own record goes."""
    target: Target
    """The site."""
    options: Options
    """How to run."""

    def run(self) -> RunResult:
        """Submit the run, or pick up the one that the options name, and follow it to its end.

        Raises:
            EnvironmentProblem: The server refuses it, or does not answer.
        """
        with ExitStack() as until:
            server = self._server(until)
            before = self.options.run_id
            known = read_events(self.home.run(before)) if before else []
            called = _called(known) if before else self._name(server)
            run_id = before or self._submit(server, called)
            folder = self.home.run(run_id)
            journal = Journal(folder)
            (folder / "pipeline.yaml").write_text(self.compiled.text)
            until.callback(journal.close)
            events: list[Event] = []

            def emit(event: Event) -> None:
                whole = journal.write(event)
                events.append(whole)
                if self.options.on_event:
                    self.options.on_event(whole)

            def waits(text: str) -> None:
                for step in _at_work(events):
                    emit({"type": "step_note", "step": step, "text": text})

            emit(self._beginning(run_id, called))
            server = replace(server, on_wait=waits)
            end = asyncio.run(self._follow(run_id, server, emit, known, until))
        return RunResult(
            run_id=run_id, state=State(end["state"]), seconds=end["seconds"],
            outputs=end["outputs"], error=end["error"], events=[*known, *events],
        )  # fmt: skip

    def _server(self, until: ExitStack) -> kubeflow.Server:
        site, cluster = self.target.site, self.target.cluster
        endpoint = until.enter_context(reach(cluster, site.kfp.url, site.kfp.client_url))
        return kubeflow.connect(endpoint, cluster.namespace, patience=_PATIENCE)

    def _name(self, server: kubeflow.Server) -> str:
        if self.options.name and is_there(self.options.name, server):
            raise naming.taken(self.options.name, server.url)
        return self.options.name or naming.made_up(self.compiled.name, datetime.now(UTC))

    def _submit(self, server: kubeflow.Server, called: str) -> str:
        return kubeflow.submit(
            self.text, self.arguments, server,
            run_name=called,
            experiment=self.compiled.name,
            pipeline_root=self.target.store.uri("artifacts"),
            use_cache=self.options.use_cache,
        )  # fmt: skip

    def _beginning(self, run_id: str, called: str) -> Event:
        return {
            "type": "run_started", "run": run_id, "called": called, "pipeline": self.compiled.name,
            "parameters": dict(self.arguments), "code_digest": self.compiled.code_digest,
            "git": environment.git_state(self.compiled), "source": self.options.source,
            "named": bool(self.options.name),
            "pid": os.getpid(), "pid_start": process_start(os.getpid()),
            "site": dict(self.options.site),
            "steps_total": len(self.planned), "plan": self.planned,
        }  # fmt: skip

    async def _follow(
        self,
        run_id: str,
        server: kubeflow.Server,
        emit: Callable[[Event], None],
        known: list[Event],
        until: ExitStack,
    ) -> Event:
        folder = self.home.run(run_id)
        target = self.target
        recorder = None
        if self.options.record:
            recorder = await recording.begin(folder, target.cluster, target.site, until)
        interrupted = threading.Event()
        began = time.time()
        try:
            with on_signals(interrupted.set):
                end = await asyncio.to_thread(
                    kubeflow.follow, run_id, server, emit,
                    folder=folder, known=known, interrupted=interrupted,
                )  # fmt: skip
        except HeadraceError as error:
            end = {
                "type": "run_finished", "state": State.FAILED, "seconds": time.time() - began,
                "error": failures.describe(error), "outputs": {},
            }  # fmt: skip
            emit(end)
        if recorder is not None:
            await asyncio.wait([recorder], timeout=_RECORDER_WAIT)
        return end


def _called(events: list[Event]) -> str:
    """What people call a run that has begun before."""
    names = (one.get("called") for one in events if one["type"] == "run_started")
    return next((one for one in names if one), "")


def _at_work(events: list[Event]) -> list[str]:
    """The steps that have begun and not ended."""
    steps: dict[str, bool] = {}
    for one in events:
        if one["type"] in ("step_started", "step_finished"):
            steps[one["step"]] = one["type"] == "step_started"
    return [step for step, at_work in steps.items() if at_work]
