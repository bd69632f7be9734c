"""The logs that the store keeps of a step: its own, its executors', its Ray cluster's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from headrace.data.store import Store
from headrace.executing import reports
from headrace.executing.pod import LOG_FILE
from headrace.operating.tapping import Source

_EXECUTOR = re.compile(r"exec-(\d+)\.log$")
_RAY_POD = re.compile(r"-(?P<role>head|worker)-(?P<number>[a-z0-9]+)$")
_JOB = "ray/driver.log"
"""What a training's job printed."""
_HEAD = "ray/head.log"
"""What the head printed beside that."""
_LOGS = (".log", ".txt", ".out", ".err")


@dataclass(frozen=True, kw_only=True)
class KeptLog:
    """One log in the store."""

    source: Source
    """Who wrote it."""
    attempt: int
    """In which attempt at the step."""
    uri: str
    """Where it lies."""

    def lines(self, store: Store) -> list[str]:
        """Its lines, less those by which a step reports to its runner."""
        text = (store.read(self.uri) or b"").decode(errors="replace")
        return [one for one in text.splitlines() if reports.read(one) is None]


def kept_logs(store: Store, run: str, step: str) -> list[KeptLog]:
    """The logs of all attempts at a step, in their order, each attempt's own log first.

    Raises:
        HeadraceError: The store does not answer.
    """
    folder = store.uri("runs", run, "steps", step)
    return logs_among(store.listing(folder), step, folder)


def logs_among(paths: Iterable[str], step: str, folder: str) -> list[KeptLog]:
    """Those of the objects below a step's folder that are logs. Pure."""
    found = [log for path in paths if (log := _kept(step, folder, path))]
    return sorted((one for one in found if not _is_told(one, found)), key=_place)


def _is_told(log: KeptLog, found: Iterable[KeptLog]) -> bool:
    """Whether another log has the same lines: the step's own, or the head's own pod's."""
    others = [one for one in found if one.attempt == log.attempt and one is not log]
    if log.uri.endswith(f"/{_JOB}"):
        return any(one.source.kind == "driver" for one in others)
    return log.uri.endswith(f"/{_HEAD}") and any(one.source == log.source for one in others)


def _kept(step: str, folder: str, path: str) -> KeptLog | None:
    attempt, _, rest = path.partition("/")
    source = _source(step, rest)
    if not attempt.isdigit() or source is None:  # a step of a loop that bears this one's name
        return None
    return KeptLog(source=source, attempt=int(attempt), uri=f"{folder}/{path}")


def _source(step: str, path: str) -> Source | None:
    kind, _, name = path.partition("/")
    if path == LOG_FILE:
        return Source(step=step, kind="driver", name="driver")
    if kind == "executors":
        match = _EXECUTOR.search(name)
        return Source(step=step, kind=kind, name=f"executor {match[1] if match else name}")
    if kind == "ray" and name.endswith(_LOGS):
        return Source(step=step, kind=kind, name=f"ray {_ray_name(name)}")
    return None


def _ray_name(file: str) -> str:
    """What people call the pod whose log a file holds."""
    bare = file.rpartition(".")[0]
    bare, again = bare.removesuffix(".before"), bare.endswith(".before")
    if file == _JOB.rpartition("/")[2]:
        return "job"
    match = _RAY_POD.search(bare)
    found = f"{match['role']} {match['number']}" if match and match["role"] == "worker" else ""
    name = found or ("head" if match else bare)
    return f"{name} before its restart" if again else name


def _place(log: KeptLog) -> tuple[int, int, list[int], str]:
    order = ("driver", "ray", "executors")
    numbers = [int(one) for one in re.findall(r"\d+", log.source.name)]
    return log.attempt, order.index(log.source.kind), numbers, log.source.name
