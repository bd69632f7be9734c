"""Runs one step: reuse it, or start its process, follow it, and take in what it made."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.core.errors import HeadraceError, StepFailed
from headrace.core.states import State
from headrace.executing import reports
from headrace.executing.main import ERROR_FILE
from headrace.running import importer, jobs, reuse
from headrace.running.artifacts import Artifact, Outputs, content_digest
from headrace.running.jobs import Job
from headrace.running.leaf import Leaf
from headrace.running.parameters import convert, from_text
from headrace.running.session import Session

_POLL = 0.25
_METRICS = ("system.Metrics",)


@dataclass(frozen=True, kw_only=True)
class Found:
    """How a step ended."""

    state: State
    """Succeeded, reused or failed."""
    outputs: Outputs
    """What it made."""
    error: dict[str, Any] | None = None
    """Why it failed."""
    reused_from: str | None = None
    """The run whose result stands in."""


async def run_step(session: Session, leaf: Leaf) -> Found:
    """Run a step to its end; a failure is an outcome, not an exception."""
    return await _Step(session, leaf).run()


class _Step:
    def __init__(self, session: Session, leaf: Leaf) -> None:
        self.session = session
        self.leaf = leaf
        self.attempt = 1
        self.started = time.monotonic()
        self.engine = jobs.engine_of(session.executor(leaf.label))
        self.key = ""

    async def run(self) -> Found:
        try:
            if self.engine == "importer":
                return await self.importing()
            self.key = jobs.cache_key_of(self.session, self.leaf)
            if self.session.use_cache and self.leaf.cached:
                earlier = await asyncio.to_thread(reuse.find_earlier, self.session.home, self.key)
                if earlier is not None:
                    found = Found(
                        state=State.REUSED, outputs=earlier.outputs, reused_from=earlier.run
                    )
                    return self.finish(found)
            async with self.session.slots:
                self.started = time.monotonic()
                return self.finish(await self.attempts())
        except asyncio.CancelledError:
            with suppress(HeadraceError):
                self.finish(Found(state=State.CANCELLED, outputs=Outputs()))
            raise

    async def importing(self) -> Found:
        self.start("")
        try:
            outputs = await asyncio.to_thread(
                importer.run, self.session.executor(self.leaf.label)["importer"], self.leaf.inputs
            )
        except HeadraceError as error:
            return self.finish(self.failed(error))
        return self.finish(Found(state=State.SUCCEEDED, outputs=outputs))

    async def attempts(self) -> Found:
        most = 1 + int(self.leaf.retry.get("maxRetryCount", 0))
        pause = _seconds(self.leaf.retry.get("backoffDuration", "0s"))
        longest = _seconds(self.leaf.retry.get("backoffMaxDuration", "3600s"))
        while True:
            found = await self.once()
            if found.state is not State.FAILED or self.attempt == most:
                return found
            what = (found.error or {}).get("what", "").splitlines()[:1]
            self.note(f"attempt {self.attempt} of {most} failed: {''.join(what)}")
            await asyncio.sleep(min(pause, longest))
            pause *= float(self.leaf.retry.get("backoffFactor", 2.0))
            self.attempt += 1

    async def once(self) -> Found:
        """One attempt, in folders that no other attempt has seen."""
        suffix = "" if self.attempt == 1 else f".attempt-{self.attempt}"
        place = self.leaf.path + suffix
        folder, log = self.session.root / place, Path("logs") / f"{self.leaf.path}.log"
        self.start(str(log))
        if self.engine == "container":
            image = self.session.executor(self.leaf.label)["container"]["image"]
            self.note(f"runs as a process of this machine; the image {image} is not used")
        ignored = sorted(set(self.session.kubernetes(self.leaf.label)) - {"secretAsEnv"})
        if ignored:
            self.note(f"settings for Kubernetes alone, ignored here: {', '.join(ignored)}")
        try:
            shutil.rmtree(folder, ignore_errors=True)
            work = self.session.folder / "work" / place
            work.mkdir(parents=True)
            job = jobs.make_job(
                self.session, self.leaf, folder=folder, work=work, log=self.session.folder / log
            )
            await self.process(job, work)
            outputs = await self.outputs(job)
            await asyncio.to_thread(
                reuse.keep, self.session.home, folder,
                key=self.key, run=self.session.run_id, step=self.leaf.path, outputs=outputs,
            )  # fmt: skip
            shutil.rmtree(work, ignore_errors=True)
        except (HeadraceError, OSError, ValueError) as error:
            if self.session.lost:
                raise
            return self.failed(error)
        return Found(state=State.SUCCEEDED, outputs=outputs)

    async def process(self, job: Job, work: Path) -> None:
        server = self.session.heavy if job.heavy else self.session.light
        process = await server.run(job.request, job.needs)
        async with self.reported(work / reports.FILE):
            code = await process.wait()
        if code != 0:
            raise _Broken(_error(work, code, job.log))

    @asynccontextmanager
    async def reported(self, file: Path) -> AsyncIterator[None]:
        """Hand on what the step reports, while it runs and once more at its end."""
        offset = 0

        def look() -> None:
            nonlocal offset
            if not file.exists():
                return
            with file.open("rb") as reports_so_far:
                reports_so_far.seek(offset)
                complete, newline, _ = reports_so_far.read().rpartition(b"\n")
            offset += len(complete) + len(newline)
            for line in complete.splitlines():
                self.session.emit(step=self.leaf.path, **json.loads(line))

        async def watch() -> None:
            while True:
                await asyncio.sleep(_POLL)
                look()

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
            look()

    async def outputs(self, job: Job) -> Outputs:
        """What the step wrote, checked against what its component promises."""
        wrote: dict[str, Any] = {}
        if job.output_file.exists():
            wrote = json.loads(job.output_file.read_text())
        declared = self.leaf.component.get("outputDefinitions", {})
        parameters = {
            name: value
            for name, one in declared.get("parameters", {}).items()
            if (value := self.parameter(name, one, wrote, job)) is not None
        }
        artifacts = {}
        for name, planned in job.artifacts.items():
            written = wrote.get("artifacts", {}).get(name, {}).get("artifacts", [{}])[0]
            artifact = Artifact(
                name=planned.name,
                type=planned.type,
                uri=written.get("custom_path") or written.get("uri") or planned.uri,
                metadata=written.get("metadata") or {},
            )
            digest = (
                await asyncio.to_thread(content_digest, artifact.path) if artifact.path else None
            )
            artifacts[name] = [Artifact(**{**vars(artifact), "digest": digest})]
        return Outputs(parameters=parameters, artifacts=artifacts)

    def parameter(self, name: str, definition: Any, wrote: Any, job: Job) -> Any:
        kind = definition["parameterType"]
        values = wrote.get("parameterValues", {})
        if name in values:
            return convert(values[name], kind, name)
        file = job.parameter_files[name]
        if file.exists():
            return from_text(file.read_text(), kind, name)
        if definition.get("isOptional"):
            return None
        raise StepFailed(
            f"The step ended without its output {name!r}.",
            where=str(job.log),
            hint="return a value, or write it to the path given",
        )

    def failed(self, error: BaseException) -> Found:
        described = error.described if isinstance(error, _Broken) else self.session.describe(error)
        return Found(state=State.FAILED, outputs=Outputs(), error=described)

    def start(self, log: str) -> None:
        leaf = self.leaf
        self.session.emit(
            type="step_started", step=leaf.path, name=leaf.name, engine=self.engine,
            attempt=self.attempt, parameters=leaf.inputs.parameters,
            inputs=leaf.inputs.to_dict()["artifacts"], log=log, fingerprint=self.key,
        )  # fmt: skip

    def note(self, text: str) -> None:
        self.session.emit(type="step_note", step=self.leaf.path, text=text)

    def finish(self, found: Found) -> Found:
        leaf = self.leaf
        metrics = {
            key: float(value)
            for some in found.outputs.artifacts.values()
            for one in some
            if one.type in _METRICS
            for key, value in one.metadata.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        self.session.emit(
            type="step_finished", step=leaf.path, name=leaf.name, engine=self.engine,
            state=found.state, seconds=time.monotonic() - self.started, attempt=self.attempt,
            parameters=leaf.inputs.parameters, inputs=leaf.inputs.to_dict()["artifacts"],
            outputs=found.outputs.to_dict(), metrics=metrics, error=found.error,
            reused_from=found.reused_from, fingerprint=self.key,
        )  # fmt: skip
        return found


class _Broken(StepFailed):
    """A step's process that ended badly, with what it said of it."""

    def __init__(self, described: dict[str, Any]) -> None:
        super().__init__(described["what"])
        self.described = described


def _error(work: Path, code: int, log: Path) -> dict[str, Any]:
    """Why a process ended: what it wrote down, or else what its exit tells."""
    with suppress(OSError, ValueError):
        described: dict[str, Any] = json.loads((work / ERROR_FILE).read_text())
        return {**described, "where": described["where"] or [str(log)]}
    hint = ""
    if code < 0:
        name = signal.Signals(-code).name
        what = f"The step was killed by {name}."
        if name == "SIGKILL":
            hint = "if nobody killed it, memory may have run out: smaller inputs or more memory"
    else:
        what = f"The step ended with exit code {code}."
        hint = "its log has what it printed last"
    return {
        "kind": "StepFailed", "what": what, "where": [str(log)], "hint": hint,
        "exit_code": 1, "traceback": "",
    }  # fmt: skip


def _seconds(text: str) -> float:
    return float(str(text).removesuffix("s") or 0)
