"""A run's journal: what happened, an event a line, written once and read by everybody else."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from headrace.core.errors import UsageError, did_you_mean
from headrace.core.states import State
from headrace.sites.home import Home

FILE = "events.jsonl"

Event = dict[str, Any]
"""One line of a journal: its `type` says what happened, `time` when, in Unix seconds."""


class Journal:
    """The writer of one run's events."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._out = (folder / FILE).open("a", encoding="utf-8")

    def write(self, event: Event) -> Event:
        """Append an event with the time of now, and return it with that time.

        Raises:
            OSError: The disk is full or the folder is gone.
        """
        whole = {"time": time.time(), **event}
        self._out.write(json.dumps(whole, default=str) + "\n")
        self._out.flush()
        return whole

    def close(self) -> None:
        """Close the file."""
        self._out.close()


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run as its journal tells it."""

    run_id: str
    """The run's id."""
    called: str
    """What people call it: the same, unless the id is Kubeflow Pipelines' own."""
    pipeline: str
    """The pipeline's name."""
    state: State
    """Where it stands; a run whose process is gone without a last word was killed: CANCELLED."""
    killed: bool
    """Whether its process went without a last word."""
    started: float
    """When, in seconds since the epoch."""
    seconds: float | None
    """How long it took; None while it runs."""
    parameters: dict[str, Any]
    """The pipeline's parameters."""
    folder: Path
    """The run's folder."""


class Follower:
    """Reads what was added to a journal since the last time."""

    def __init__(self, run_folder: Path) -> None:
        self._path = run_folder / FILE
        self._offset = 0

    def new(self) -> list[Event]:
        """The events that came since the last call; a line that is half written waits."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                complete = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._offset += len(complete[0]) + len(complete[1])
        return parse(complete[0])


def parse(lines: bytes) -> list[Event]:
    """The events in whole lines of a journal; what is no event is left out."""
    return [event for line in lines.splitlines() if (event := _event(line))]


def read_events(folder: Path) -> list[Event]:
    """All whole events of a run; a line cut short by a crash is left out."""
    return Follower(folder).new()


def list_runs(home: Home) -> list[RunRecord]:
    """Every run of this home, oldest first."""
    folders = [one for one in home.runs.iterdir() if one.is_dir()] if home.runs.is_dir() else []
    records = [record for folder in folders if (record := read_record(folder))]
    return sorted(records, key=lambda one: one.started)


class Named(Protocol):
    """Anything that stands for a run."""

    @property
    def run_id(self) -> str:
        """The run's id."""

    @property
    def called(self) -> str:
        """What people call it."""


_Run = TypeVar("_Run", bound=Named)


def choose(text: str, runs: Sequence[_Run]) -> _Run | None:
    """The run that `text` means: by its id, its name, a beginning or a part of either.

    Raises:
        UsageError: Several fit.
    """
    for matches in (
        [one for one in runs if one.run_id == text],
        [one for one in runs if one.called == text],
        [one for one in runs if one.run_id.startswith(text) or one.called.startswith(text)],
        [one for one in runs if text in one.run_id or text in one.called],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            alike = {one.called for one in matches} == {text}
            few = [one.run_id if alike else one.called for one in matches[-3:]]
            raise UsageError(
                f"{text!r} fits {len(matches)} runs.", hint=f"say more of it: {', '.join(few)}"
            )
    return None


def find_run(home: Home, text: str) -> RunRecord:
    """The run that `text` means: a name or an id, a unique beginning or part of one, or `latest`.

    Raises:
        UsageError: None or several runs fit.
    """
    runs = list_runs(home)
    if text == "latest" and runs:
        return runs[-1]
    if (found := choose(text, runs)) is not None:
        return found
    raise UsageError(
        f"There is no run {text!r}.",
        where=str(home.runs),
        hint=did_you_mean(text, [one.called for one in runs[-20:]]) or "headrace runs",
    )


def read_record(folder: Path) -> RunRecord | None:
    """The record of the run in `folder`, or None if it never started."""
    events = read_events(folder)
    start = next((one for one in events if one["type"] == "run_started"), None)
    if start is None:
        return None
    # A run that was picked up again has begun anew, in another process.
    again = next(one for one in reversed(events) if one["type"] == "run_started")
    end = next((one for one in reversed(events) if one["type"] == "run_finished"), None)
    killed = end is None and not process_alive(again["pid"], again.get("pid_start"))
    state = State(end["state"]) if end else State.CANCELLED if killed else State.RUNNING
    last = events[-1]["time"] if killed else None
    return RunRecord(
        run_id=start["run"],
        called=start.get("called") or start["run"],
        pipeline=start["pipeline"],
        state=state,
        killed=killed,
        started=start["time"],
        seconds=end["seconds"] if end else last and last - start["time"],
        parameters=start["parameters"],
        folder=folder,
    )


def process_start(pid: int) -> str | None:
    """When a process started, in the kernel's own units, or None if it is not there.

    Together with the id it names a process for good: ids are used again, pairs are not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def process_alive(pid: int, start: str | None) -> bool:
    """Whether that very process still runs."""
    if Path("/proc/self").exists():
        now = process_start(pid)
        return now is not None and (start is None or now == str(start))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _event(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "type" in event else None
