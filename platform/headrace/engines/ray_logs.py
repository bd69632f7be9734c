"""What a training prints, on its way from the head to the step's own pod.

The job on the head writes everything to its container's output too, each line behind the
job's id, so that the cluster's own logs have it and several jobs on one head keep apart.
Ray hands the workers' lines to the job, which prints them with the worker's name in front.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from headrace.cluster.client import Cluster
from headrace.cluster.errors import ClusterProblem
from headrace.cluster.watch import follow_log

EVENT = "::ray:: "
"""What begins a line by which the job tells the step something."""
FINISHED = "finished"
"""The type of the last thing that a job tells."""
_KEPT = 2**20
"""Letters of a log that are kept as evidence: its last ones."""
_WORKER = re.compile(r"\((?:RayTrainWorker|\w+)? ?pid=\d+(?:, ip=[\d.a-f:]+)?\) ")


def tag(job: str) -> str:
    """What begins each line of a job in its head's output."""
    return f"{job}| "


def event_line(kind: str, number: int) -> str:
    """A line by which the job tells something that needs no further facts."""
    return EVENT + json.dumps({"type": kind, "seq": number})


def event(line: str) -> dict[str, Any] | None:
    """What the job tells by a line; None if it is an ordinary one."""
    if not line.startswith(EVENT):
        return None
    try:
        told = json.loads(line.removeprefix(EVENT))
    except ValueError:  # cut short when its writer was killed
        return None
    return told if isinstance(told, dict) else None


def bare(line: str) -> str:
    """A worker's line without the worker's name in front."""
    return _WORKER.sub("", line, count=1)


class Tail:
    """The last of a log: lines in, one text out."""

    def __init__(self, most: int = _KEPT) -> None:
        self._lines: deque[str] = deque()
        self._most = most
        self._size = 0
        self.dropped = 0

    def add(self, line: str) -> None:
        """Take a line in."""
        self._lines.append(line)
        self._size += len(line) + 1
        while self._size > self._most and len(self._lines) > 1:
            self._size -= len(self._lines.popleft()) + 1
            self.dropped += 1

    def text(self) -> str:
        """What is left of it."""
        note = [f"… {self.dropped} lines before these were dropped"] if self.dropped else []
        return "".join(f"{line}\n" for line in [*note, *self._lines])


class Following:
    """Follows the output of a head's container in a thread."""

    def __init__(
        self,
        cluster: Cluster,
        pod: str,
        container: str,
        job: str,
        *,
        on_line: Callable[[str], None],
        on_event: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """Begin to follow.

        Args:
            cluster: Where the head is.
            pod: Its name.
            container: Its container.
            job: The job whose lines are meant.
            on_line: Called with each line of the job.
            on_event: Called with each thing that the job tells.
        """
        self.mine, self.others = Tail(), Tail()
        self.finished = False
        self._cluster, self._pod, self._container = cluster, pod, container
        self._tag = tag(job)
        self._on_line, self._on_event = on_line, on_event
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Wait for the rest of the lines, but no longer than this, and hand on no more."""
        self._thread.join(seconds)
        self._over.set()

    def _follow(self) -> None:
        with suppress(ClusterProblem):  # the pod is gone before its log was read
            for line in follow_log(self._cluster, self._pod, self._container, self._over.is_set):
                if self._over.is_set():
                    return
                self._take(line)

    def _take(self, line: str) -> None:
        if line.startswith(self._tag):
            self.take(line.removeprefix(self._tag))
        else:
            self.others.add(line)

    def take(self, said: str) -> None:
        """Take a line of the job's in."""
        told = event(said)
        if told is None:
            self.mine.add(said)
            self._on_line(said)
        elif told["type"] == FINISHED:
            self.finished = True
        else:
            self._on_event(told)


def until(check: Callable[[], bool], seconds: float, pause: float = 0.1) -> bool:
    """Whether something became true within `seconds`."""
    limit = time.monotonic() + seconds
    while not check():
        if time.monotonic() > limit:
            return False
        time.sleep(pause)
    return True
