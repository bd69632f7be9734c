"""Logs of a run's pods straight from the cluster: of all of them at once, as they write."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.errors import ClusterProblem
from headrace.cluster.watch import PodWatch, follow_log
from headrace.engines import ray_logs
from headrace.engines.ray_kubernetes import TRAINING
from headrace.executing import reports
from headrace.operating import seeing
from headrace.operating.seen import OVER

_NAMES = ("container", "step", "main", "executor", "ray")
"""Containers whose lines matter, the first of these that a pod has."""
_LONGEST_QUEUE = 10_000
_LAST_LINES_SECONDS = 5.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Source:
    """Who writes a log."""

    step: str
    """The step's path."""
    kind: str
    """`driver`, `executors` or `ray`."""
    name: str
    """What people call it: `driver`, `executor 2`, `ray head`."""


@dataclass(frozen=True, kw_only=True)
class PodLine:
    """One line of one pod."""

    source: Source
    """Who wrote it."""
    text: str
    """Without its line break."""


def source_of(pod: Manifest) -> Source:
    """Whose log a pod's is."""
    step, number = seeing.step_of(pod), seeing.number_of(pod)
    match seeing.role_of(pod):
        case "spark-executor":
            return Source(step=step, kind="executors", name=f"executor {number}".rstrip())
        case "ray-head":
            return Source(step=step, kind="ray", name="ray head")
        case "ray-worker":
            return Source(step=step, kind="ray", name=f"ray worker {number}".rstrip())
        case role if role.startswith("ray"):
            return Source(step=step, kind="ray", name=role.replace("-", " "))
    return Source(step=step, kind="driver", name="driver")


def container_of(pod: Manifest) -> str:
    """The container of a pod whose lines are its log."""
    spec = pod["spec"]
    names = [one["name"] for one in (*spec.get("initContainers", []), *spec["containers"])]
    return next((one for one in _NAMES if one in names), str(spec["containers"][0]["name"]))


def has_begun(pod: Manifest) -> bool:
    """Whether the container that matters has begun: before, it has no log."""
    status, name = pod.get("status", {}), container_of(pod)
    known = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return any(
        one["name"] == name and set(one.get("state") or {}) & {"running", "terminated"}
        for one in known
    )


def whole(cluster: Cluster, pod: Manifest) -> list[str]:
    """What a pod has written so far; nothing if it is gone or has not begun."""
    if not has_begun(pod):
        return []
    with suppress(ClusterProblem):
        lines = cluster.logs(pod["metadata"]["name"], container=container_of(pod))
        return [one for one in lines if is_own(pod, one)]
    return []


def is_own(pod: Manifest, line: str) -> bool:
    """Whether a line is what the pod itself has to say.

    Steps report to their runner in their logs. What a training's job prints comes out of the
    head and of the step's own pod as well, where it belongs.
    """
    job = (pod["metadata"].get("labels") or {}).get(TRAINING)
    return reports.read(line) is None and not (job and line.startswith(ray_logs.tag(job)))


def follow(
    cluster: Cluster,
    selectors: Sequence[str],
    wanted: Callable[[Manifest], bool],
    over: Callable[[], bool],
) -> Iterator[PodLine]:
    """Lines of all pods that the selectors choose, those included that appear later.

    Args:
        cluster: Where.
        selectors: Label selectors.
        wanted: Whether a pod's log is to be shown.
        over: Whether no more pods will come; asked now and then.
    """
    tap = _Tap(cluster, wanted)
    watches = [PodWatch(cluster, one, tap.changed) for one in selectors]
    for watch in watches:
        watch.start()
    try:
        yield from tap.until(over)
    finally:
        for watch in watches:
            watch.stop()
        tap.ended.set()


class _Tap:
    def __init__(self, cluster: Cluster, wanted: Callable[[Manifest], bool]) -> None:
        self.ended = threading.Event()
        self._cluster = cluster
        self._wanted = wanted
        self._lines: queue.Queue[PodLine] = queue.Queue(_LONGEST_QUEUE)
        self._readers: dict[str, threading.Thread] = {}
        self._gone: set[str] = set()

    def changed(self, pod: Manifest, deleted: bool) -> None:
        """Begin to read a pod's log once there is one: told by a watch's thread."""
        uid = pod["metadata"]["uid"]
        if deleted or pod.get("status", {}).get("phase") in OVER:
            self._gone.add(uid)
        if uid not in self._readers and not deleted and has_begun(pod) and self._wanted(pod):
            reader = threading.Thread(target=self._read, args=(pod,), daemon=True)
            self._readers[uid] = reader
            reader.start()

    def until(self, over: Callable[[], bool]) -> Iterator[PodLine]:
        until = None
        while True:
            yield from self._waiting()
            if until is None and over():
                until = time.monotonic() + _LAST_LINES_SECONDS
            if until is not None and (not self._reading() or time.monotonic() > until):
                yield from self._waiting()
                return
            self.ended.wait(_LOOK_SECONDS)

    def _waiting(self) -> Iterable[PodLine]:
        with suppress(queue.Empty):
            while True:
                yield self._lines.get_nowait()

    def _reading(self) -> bool:
        return any(one.is_alive() for one in list(self._readers.values()))

    def _read(self, pod: Manifest) -> None:
        name, uid, source = pod["metadata"]["name"], pod["metadata"]["uid"], source_of(pod)

        def over() -> bool:
            return self.ended.is_set() or uid in self._gone

        with suppress(ClusterProblem):  # it is gone
            for line in follow_log(self._cluster, name, container_of(pod), over):
                if is_own(pod, line):
                    self._put(PodLine(source=source, text=line))
                if self.ended.is_set():
                    return

    def _put(self, line: PodLine) -> None:
        while not self.ended.is_set():
            with suppress(queue.Full):
                return self._lines.put(line, timeout=1.0)
