"""Follows one attempt's pod: its log as it is written, its troubles while it waits, its end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.cluster import diagnosis
from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.watch import follow_log
from headrace.core.errors import HeadraceError
from headrace.executing import reports
from headrace.running.place import Attempt
from headrace.sites.cluster import Site

_LOOK_SECONDS = 5.0
"""How often a pod that waits is asked why."""
_RESULT_SECONDS = 20.0
"""For how long the result of a pod that ended well is looked for."""
_NEEDS_SOMEBODY = (diagnosis.Cause.CONFIG, diagnosis.Cause.IMAGE, diagnosis.Cause.REFUSED)
"""What does not pass by itself, as a full cluster or a full quota does."""
_IN_ITS_TURN = diagnosis.Cause.QUEUED
"""What is waited for as long as it takes: a queue that is full is what queues are for."""
_HELP_SECONDS = 120.0
"""For how long somebody may come and mend such a thing."""
_FINAL = ("Succeeded", "Failed")


class Following:
    """One attempt's pod, from the moment when its Job was made.

    Args:
        cluster: Where it is.
        site: What the site says of deadlines.
        loop: The loop that the walk runs on.
        job: The Job's name.
        container: The container whose lines are the step's log.
        attempt: Told of reports and notes.
        log: The file for its lines.
        result: Reads the result from the store; None while there is none.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        site: Site,
        loop: asyncio.AbstractEventLoop,
        job: str,
        container: str,
        attempt: Attempt,
        log: Path,
        result: Callable[[], dict[str, Any] | None],
    ) -> None:
        self.cluster = cluster
        self.job = job
        self.pod: Manifest | None = None
        self.deleted = False
        self.problem: diagnosis.Problem | None = None
        self._site = site
        self._loop = loop
        self._container = container
        self._attempt = attempt
        self._log = log
        self._result = result
        self._news = asyncio.Event()
        self._reading: threading.Thread | None = None
        self._began = self._hindered = time.monotonic()
        self._said: set[str] = set()

    def changed(self, pod: Manifest, *, deleted: bool) -> None:
        """Take in a change to the pod; any thread may call this."""
        self.pod = pod
        self.deleted = deleted
        self._loop.call_soon_threadsafe(self._news.set)

    def note(self, text: str) -> None:
        """Say something short about the attempt; any thread may call this."""
        self._loop.call_soon_threadsafe(self._attempt.note, text)

    async def to_its_end(self) -> dict[str, Any] | None:
        """The attempt's result; None if the pod went without leaving one, or did not start."""
        looked = time.monotonic()
        while True:
            self._news.clear()
            if self._over() or (self._reading and not self._reading.is_alive()):
                return await self._fetch()
            if self._started() and self._reading is None:
                self._reading = threading.Thread(target=self._read, daemon=True)
                self._reading.start()
            if not self._started() and time.monotonic() - looked > _LOOK_SECONDS:
                looked = time.monotonic()
                await asyncio.to_thread(self._look)
                if self._given_up():
                    return None
            try:
                await asyncio.wait_for(self._news.wait(), 1.0)
            except TimeoutError:
                continue

    def _given_up(self) -> bool:
        """Whether what keeps the pod from starting has done so for too long."""
        if self.problem is None or self.problem.cause is _IN_ITS_TURN:
            return False
        allowed = float(self._site.limits.pending)
        if self.problem.cause in _NEEDS_SOMEBODY:
            allowed = min(allowed, _HELP_SECONDS)
        return time.monotonic() - self._hindered > allowed

    @property
    def phase(self) -> str:
        """The pod's phase; empty before there is one."""
        return str((self.pod or {}).get("status", {}).get("phase", ""))

    def _over(self) -> bool:
        return self.deleted or self.phase in _FINAL

    def _started(self) -> bool:
        """Whether the container that matters has begun."""
        status = (self.pod or {}).get("status", {})
        known = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        return any(
            one["name"] == self._container and set(one.get("state", {})) & {"running", "terminated"}
            for one in known
        )

    def _read(self) -> None:
        """Keep what the step prints, and hand on what it reports; on a thread of its own."""
        assert self.pod is not None
        self._log.parent.mkdir(parents=True, exist_ok=True)
        name = self.pod["metadata"]["name"]
        try:
            with self._log.open("a", encoding="utf-8", buffering=1) as kept:
                for line in follow_log(self.cluster, name, self._container, self._over):
                    if (report := reports.read(line)) is not None:
                        self._loop.call_soon_threadsafe(self._attempt.report, report)
                    else:
                        kept.write(f"{line}\n")
        except (HeadraceError, OSError) as error:
            # The pod is gone before its log was read: the store has a copy.
            self._said.add(str(error))
        finally:
            self._loop.call_soon_threadsafe(self._news.set)

    async def _fetch(self) -> dict[str, Any] | None:
        """The result, which a pod that ended by itself has left behind."""
        until = time.monotonic() + _RESULT_SECONDS
        while True:
            found = await asyncio.to_thread(self._result)
            if found is not None or self.deleted or self.phase == "Failed":
                if self._reading:  # the last lines
                    await asyncio.to_thread(self._reading.join, 5.0)
                return found or await asyncio.to_thread(self._result)
            if time.monotonic() > until:
                return None
            await asyncio.sleep(0.1)

    def _look(self) -> None:
        """Ask why the pod has not started, and say so once."""
        found = diagnosis.of_job(self.cluster, self.job, self.pod)
        if self.problem and (found is None or found.cause != self.problem.cause):
            self._hindered = time.monotonic()
        self.problem = found
        if self.problem and self.problem.text not in self._said:
            self._said.add(self.problem.text)
            waited = time.monotonic() - self._began
            text = f"waiting for {waited:.0f} s: {self.problem.text}"
            self.note(text)
