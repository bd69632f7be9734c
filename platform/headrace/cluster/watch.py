"""What becomes of pods, as it happens: a watch that outlives lost connections, and their logs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from headrace.cluster import errors, kinds
from headrace.cluster.client import Cluster, Manifest

_WATCH_SECONDS = 240
_SILENCE = 300.0
_PAUSE = 1.0
JOB_NAME = "batch.kubernetes.io/job-name"
"""The label by which a Job's pods are known."""


def changes(cluster: Cluster, kind: str, selector: str) -> Iterator[tuple[str, Manifest]]:
    """Objects as they are now, each as `ADDED`, `SYNCED`, and then every change to them.

    It ends after some minutes, or when the server wants it to: ask again.

    Raises:
        Unreachable: The connection was lost.
    """
    first = cluster.ask(f"{kinds.path(kind, cluster.namespace)}?labelSelector={_quoted(selector)}")
    for one in first.get("items", []):
        yield "ADDED", one
    yield "SYNCED", {}
    query = {
        "watch": "true",
        "labelSelector": selector,
        "resourceVersion": first["metadata"]["resourceVersion"],
        "timeoutSeconds": _WATCH_SECONDS,
        "allowWatchBookmarks": "true",
    }
    for line in cluster.stream(kinds.path(kind, cluster.namespace), query, silence=_SILENCE):
        change = json.loads(line)
        if change["type"] == "ERROR":  # the version asked for is too old: list again
            return
        if change["type"] != "BOOKMARK":
            yield change["type"], change["object"]


class PodWatch:
    """Knows the pods that a selector chooses, and tells of every change.

    Args:
        cluster: Where.
        selector: A label selector.
        on_change: Called, from a thread of the watch's own, with each pod that changed; one
            that is gone comes with `deleted` true.
    """

    def __init__(
        self, cluster: Cluster, selector: str, on_change: Callable[[Manifest, bool], None]
    ) -> None:
        self._cluster = cluster
        self._selector = selector
        self._on_change = on_change
        self._ended = threading.Event()
        self.pods: dict[str, Manifest] = {}
        self.lost_since: float | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="pod-watch")

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; the thread ends by itself."""
        self._ended.set()

    def of_job(self, job: str) -> Manifest | None:
        """The newest pod of a Job."""
        found = [one for one in self.pods.values() if _job(one) == job]
        return max(found, key=lambda one: one["metadata"]["creationTimestamp"], default=None)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._follow()
                self.lost_since = None
            except errors.ClusterProblem:
                self.lost_since = self.lost_since or time.monotonic()
                self._ended.wait(_PAUSE)

    def _follow(self) -> None:
        seen: set[str] = set()
        for what, pod in changes(self._cluster, "pods", self._selector):
            if self._ended.is_set():
                return
            self.lost_since = None
            if what == "SYNCED":
                for name in set(self.pods) - seen:  # went while nobody looked
                    self._on_change(self.pods.pop(name), True)
                continue
            name = pod["metadata"]["name"]
            seen.add(name)
            if what == "DELETED":
                self.pods.pop(name, None)
            else:
                self.pods[name] = pod
            self._on_change(pod, what == "DELETED")


def follow_log(
    cluster: Cluster, pod: str, container: str, over: Callable[[], bool]
) -> Iterator[str]:
    """A container's lines as it writes them, each once, over lost connections.

    Args:
        cluster: Where.
        pod: The pod.
        container: The container.
        over: Whether nothing more can come: asked when the connection was lost.
    """
    last = ""
    while True:
        with suppress(errors.Unreachable):
            for line in cluster.logs(pod, container=container, follow=True, since=_second(last),
                                     timestamps=True):  # fmt: skip
                stamp, _, text = line.partition(" ")
                moment = _moment(stamp)
                if moment > last:
                    last = moment
                    yield text
            return
        if over():
            return
        time.sleep(_PAUSE)


def _moment(stamp: str) -> str:
    """A line's time so that text sorts as time does: zeros at its end are left out in the log."""
    seconds, _, rest = stamp.removesuffix("Z").partition(".")
    return f"{seconds}.{rest:0<9}"


def _second(moment: str) -> str:
    """The API takes whole seconds; lines that come twice are known by their moment."""
    return f"{moment.partition('.')[0]}Z" if moment else ""


def _job(pod: Manifest) -> str:
    return str(pod["metadata"].get("labels", {}).get(JOB_NAME, ""))


def _quoted(selector: str) -> str:
    from urllib.parse import quote

    return quote(selector)
