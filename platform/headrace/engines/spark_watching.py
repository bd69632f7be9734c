"""Watches over a session's executors: says why they wait, how they were lost, keeps their logs."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from headrace.cluster import queues
from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.problems import Cause, Problem
from headrace.cluster.watch import PodWatch
from headrace.core.errors import HeadraceError
from headrace.data.store import Store
from headrace.engines import spark_executors
from headrace.engines.spark_executors import End
from headrace.engines.spark_properties import EXECUTOR_CONTAINER

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LOG_BYTES = 8 * 2**20
"""Most that is kept of an executor's log: its end."""
_TAIL = 40
_ALLOCATOR = "org.apache.spark.scheduler.cluster.k8s.ExecutorPodsAllocator"
_LOOK = 2.0
_PATIENCE = 10.0
"""Seconds without an executor after which that is worth a word."""
_SOME_PATIENCE = 60.0
"""The same while some executors run, but not all of them."""
_FAILURES, _FAILURES_EACH, _HOUR = 3, 2, 3600.0
"""Executors that may fail within an hour: at all, and for each that there is to be."""
_CLOSING = 6.0
"""Seconds for keeping logs at the end; a step that is told to end has ten for everything."""


class Watch:
    """The executors of one session.

    Args:
        cluster: Where they are.
        store: Gets their logs.
        folder: The attempt's folder there.
        selector: Chooses their pods.
        wanted: How many there are to be.
        pending: Seconds after which a session without a single executor is given up.
        note: Told what people should know.
        refusal: Asks the cluster why it makes no pod of an executor's size; empty if it would.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        store: Store,
        folder: str,
        selector: str,
        wanted: int,
        pending: float,
        note: Callable[[str], None],
        refusal: Callable[[], str],
    ) -> None:
        self.ends: list[End] = []
        self.given_up = ""
        self._session: SparkSession | None = None
        self._ended: dict[str, float] = {}
        self._cluster, self._store, self._folder = cluster, store, folder
        self._wanted, self._pending = wanted, pending
        self._note, self._refusal = note, refusal
        self._pods: dict[str, Manifest] = {}
        self._tails: dict[str, list[str]] = {}
        self._kept: set[str] = set()
        self._work: list[Future[None]] = []
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="executors")
        self._watch = PodWatch(cluster, selector, self._changed)
        self._over = threading.Event()
        self._said = ""

    def start(self) -> None:
        """Begin to watch, before there is a session."""
        self._watch.start()

    def serve(self, session: SparkSession) -> None:
        """Say what a session waits for, and end its jobs when there is nothing more to hope for."""
        self._session = session
        threading.Thread(target=self._look, daemon=True).start()

    def keep(self, *, failed: bool) -> None:
        """Keep every executor's log, and of a failed step what their pods say."""
        self._over.set()
        for name, pod in tuple(self._pods.items()):
            if name not in self._kept and pod["status"].get("startTime"):
                self._later(self._keep_log, name)
        wait(self._work, timeout=_CLOSING)
        if failed and self._pods:
            self._later(self._keep_evidence)
            wait(self._work, timeout=_CLOSING)

    def remove(self) -> None:
        """Remove the executors' pods."""
        self._over.set()
        self._watch.stop()
        for name in tuple(self._pods):
            self._later(self._delete, name)
        wait(self._work, timeout=_CLOSING)
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def memory(self) -> str:
        """What each executor's pod may use; empty before there is one."""
        return next(map(spark_executors.memory_limit, self.pods()), "")

    def pods(self) -> tuple[Manifest, ...]:
        """The executors' pods as they were seen last, those included that are gone."""
        return tuple(self._pods.values())

    def _changed(self, pod: Manifest, deleted: bool) -> None:
        name = pod["metadata"]["name"]
        known = self._pods.get(name)
        if self._over.is_set():
            return
        self._pods[name] = pod
        end = spark_executors.end_of(pod, deleted=deleted)
        if end is not None and end.pod not in {one.pod for one in self.ends}:
            self._ended[name] = time.monotonic()
            self.ends.append(end)
            self._note(str(end))
        leaving = "deletionTimestamp" in pod["metadata"]
        if spark_executors.is_over(pod) or (leaving and known is not None):
            self._later(self._keep_log, name)

    def _look(self) -> None:
        """Say what is missing while it is missing, and give up when that lasts too long."""
        alone = short = hopeful = time.monotonic()
        while not self._over.wait(_LOOK):
            now = time.monotonic()
            running = sum(map(spark_executors.is_running, self.pods()))
            alone = now if running else alone
            short = now if running >= self._wanted else short
            hopeful = now if running or self._is_queued() else hopeful
            if now - alone > _PATIENCE:
                self._say(f"waiting for {counted(self._wanted)}: {self._why()}")
            elif running and now - short > _SOME_PATIENCE and (why := self._why_waiting()):
                self._say(f"{running} of {self._wanted} executors run, the others wait: {why}")
            if now - hopeful > self._pending:
                self._give_up(f"No executor could start: {self._why()}")
            elif self._failures(now) > max(_FAILURES, _FAILURES_EACH * self._wanted):
                self._give_up(f"Executors failed again and again: {self.ends[-1]}")

    def _give_up(self, why: str) -> None:
        self.given_up = why
        if self._session is not None:
            with suppress(Exception):  # it may be ending by itself just now
                self._session.sparkContext.cancelAllJobs()

    def _failures(self, now: float) -> int:
        """How many executors have failed of themselves within the last hour."""
        failed = {one.pod for one in self.ends if one.own_doing}
        return sum(now - self._ended[one] < _HOUR for one in failed)

    def _why_waiting(self) -> str:
        return spark_executors.why_waiting(self.pods(), self._trouble())

    def _trouble(self) -> Problem | None:
        """What the executors wait for; of a queue, as the queue says it."""
        found = spark_executors.trouble(self.pods())
        if found is None:
            return None
        pod, problem = found
        with suppress(HeadraceError):  # it says less, and is no less true
            return queues.explained(self._cluster, pod, problem)
        return problem

    def _is_queued(self) -> bool:
        """Whether the executors' turn in a queue is to come: that is waited for."""
        found = spark_executors.trouble(self.pods())
        if found is None or found[1].cause is not Cause.QUEUED:
            return False
        known = self._trouble()
        return known is not None and known.cause is Cause.QUEUED

    def _why(self) -> str:
        if why := self._why_waiting():
            return why
        if why := self._refusal():
            self._quieten()
        return why or "none has been asked for yet"

    def _quieten(self) -> None:
        """Spark logs each refusal with its whole stack, several a second; one line tells it."""
        if self._session is not None:
            with suppress(Exception):
                log4j: Any = self._session.sparkContext._jvm
                log4j = log4j.org.apache.logging.log4j
                log4j.core.config.Configurator.setLevel(_ALLOCATOR, log4j.Level.OFF)

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._note(text)

    def _later(self, do: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the pool is closed
            self._work.append(self._pool.submit(do, *arguments))

    def _keep_log(self, name: str) -> None:
        with suppress(HeadraceError):
            lines = last(self._cluster.logs(name, container=EXECUTOR_CONTAINER), LOG_BYTES)
            self._tails[name] = lines[-_TAIL:]
            text = "".join(f"{one}\n" for one in lines)
            self._store.write(f"{self._folder}/executors/{name}.log", text.encode())
            if spark_executors.is_over(self._pods[name]):
                self._kept.add(name)

    def _keep_evidence(self) -> None:
        found = [
            {**spark_executors.lean(pod), "tail": self._tails.get(name, [])}
            for name, pod in sorted(self._pods.items())
        ]
        with suppress(HeadraceError):
            text = json.dumps({"executors": found, "ends": [str(one) for one in self.ends]})
            self._store.write(f"{self._folder}/evidence/executors.json", text.encode())

    def _delete(self, name: str) -> None:
        with suppress(HeadraceError):
            self._cluster.delete("pods", name)


def counted(executors: int) -> str:
    """A number of executors in words."""
    return f"{executors} executors" if executors > 1 else "an executor"


def last(lines: Iterable[str], size: int) -> list[str]:
    """The last lines, of `size` letters at most."""
    kept: deque[str] = deque()
    total = 0
    for line in lines:
        kept.append(line)
        total += len(line) + 1
        while total > size:
            total -= len(kept.popleft()) + 1
    return list(kept)
