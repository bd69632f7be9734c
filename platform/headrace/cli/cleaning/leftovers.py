"""Processes that a killed run left behind: told by their environment or by their log file."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from headrace.sites.home import HOME_VARIABLE, Home
from headrace.sites.journal import process_alive, process_start

RUN_VARIABLE = "HEADRACE_RUN"
GRACE_SECONDS = 3.0
_PROC = Path("/proc")
_COMMAND_CHARACTERS = 60


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A process that works for a run which is no more."""

    pid: int
    """Its process id."""
    started: str | None
    """Tells it from a later process with the same id."""
    run: str
    """The run that it belongs to."""
    command: str
    """The beginning of its command line."""


def find_leftovers(home: Home, runs: Collection[str]) -> tuple[Leftover, ...]:
    """The processes of these runs that are still there. Linux only: elsewhere, none are found.

    Args:
        home: Whose runs.
        runs: Ids of runs whose runner is gone.
    """
    found = []
    for folder in _PROC.glob("[0-9]*"):
        pid = int(folder.name)
        run = _run_of(folder, home)
        if run in runs and pid != os.getpid():
            command = _read(folder / "cmdline").replace("\0", " ").strip()[:_COMMAND_CHARACTERS]
            started = process_start(pid)
            if started is not None:
                found.append(Leftover(pid=pid, started=started, run=run, command=command))
    return tuple(sorted(found, key=lambda one: one.pid))


def stop_leftovers(leftovers: Collection[Leftover]) -> None:
    """Ask them to end, and make those end that have not within some seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for one in leftovers:
            if process_alive(one.pid, one.started):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(one.pid, number)
        until = time.monotonic() + GRACE_SECONDS
        while any(process_alive(one.pid, one.started) for one in leftovers):
            if time.monotonic() > until:
                break
            time.sleep(0.05)


def _run_of(process: Path, home: Home) -> str:
    """The run that a process works for, or empty.

    A step's own children carry the run in their environment. Forked ones have their parent's,
    and are told by the log that they write to.
    """
    variables = dict(
        pair.partition("=")[::2] for pair in _read(process / "environ").split("\0") if "=" in pair
    )
    if variables.get(HOME_VARIABLE) == str(home.root) and RUN_VARIABLE in variables:
        return variables[RUN_VARIABLE]
    for target in _outputs(process):
        if target.is_relative_to(home.runs):
            return target.relative_to(home.runs).parts[0]
    return ""


def _outputs(process: Path) -> Iterator[Path]:
    for descriptor in ("1", "2"):
        with suppress(OSError):
            yield (process / "fd" / descriptor).readlink()


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
