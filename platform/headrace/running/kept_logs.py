"""The logs that the store keeps of a step: its own, its executors', its Ray cluster's."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace.data.store import Store
from headrace.executing import reports
from headrace.executing.pod import LOG_FILE
from headrace.running.tapping import Source

_EXECUTOR = re.compile(r"exec-(\d+)\.log$")
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
    """The logs of all attempts at a step, in their order, each attempt's own log first."""
    folder = store.uri("runs", run, "steps", step)
    found = [_kept(step, folder, path) for path in store.listing(folder)]
    return sorted(filter(None, found), key=_place)


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
        return Source(step=step, kind=kind, name=f"ray {name.rpartition('.')[0]}")
    return None


def _place(log: KeptLog) -> tuple[int, int, list[int], str]:
    order = ("driver", "ray", "executors")
    numbers = [int(one) for one in re.findall(r"\d+", log.source.name)]
    return log.attempt, order.index(log.source.kind), numbers, log.source.name
