"""Runs one step: an earlier result stands in, or it is attempted as often as it may be."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from headrace.core.errors import HeadraceError
from headrace.core.states import State
from headrace.running import jobs
from headrace.running.artifacts import Outputs
from headrace.running.leaf import Leaf
from headrace.running.place import Attempt, Broken
from headrace.running.session import Session

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
                earlier = await asyncio.to_thread(self.session.place.find_earlier, self.key)
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
                self.session.place.import_artifact,
                self.session.executor(self.leaf.label)["importer"],
                self.attempted(""),
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
        log = f"logs/{self.leaf.path}.log"
        self.start(log)
        try:
            outputs = await self.session.place.attempt(self.attempted(log))
        except (HeadraceError, OSError, ValueError) as error:
            if self.session.lost:
                raise
            return self.failed(error)
        return Found(state=State.SUCCEEDED, outputs=outputs)

    def attempted(self, log: str) -> Attempt:
        return Attempt(
            leaf=self.leaf,
            number=self.attempt,
            engine=self.engine,
            key=self.key,
            log=log,
            report=lambda event: self.session.emit(step=self.leaf.path, **event),
            note=self.note,
        )

    def failed(self, error: BaseException) -> Found:
        described = error.described if isinstance(error, Broken) else self.session.describe(error)
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


def _seconds(text: str) -> float:
    return float(str(text).removesuffix("s") or 0)
