"""Reading a run's journal, `events.jsonl`, while its runner still writes it and afterwards."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Event = dict[str, Any]
"""One line of a journal; its `type` says what happened, `time` when (unix seconds)."""

JOURNAL = "events.jsonl"
_START_TIME = 19  # its place in /proc/PID/stat, counted behind the command's closing bracket


class Follower:
    """Reads what was added to a journal since the last time."""

    def __init__(self, run_folder: Path) -> None:
        self._path = run_folder / JOURNAL
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
        return [event for line in complete[0].splitlines() if (event := _parse(line))]


def read(run_folder: Path) -> list[Event]:
    """All events of a run so far; none when there is no journal."""
    return Follower(run_folder).new()


def runner_alive(started: Event) -> bool:
    """Whether the process that wrote this `run_started` still runs."""
    pid = int(started.get("pid") or 0)
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return not Path("/proc/self/stat").exists()  # without /proc, trust the signal
    # A process id is used again one day; its start time tells the two apart.
    return fields[0] != "Z" and str(started.get("pid_start")) in ("None", fields[_START_TIME])


def _parse(line: bytes) -> Event | None:
    # A runner that was killed, or a full disk, may leave a torn line behind.
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "type" in event else None
