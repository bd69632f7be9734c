"""Runs a command to its end and says how long it took and how much memory its tree held."""

from __future__ import annotations

import os
import platform
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run of a command."""

    seconds: float
    """Wall-clock time."""
    peak_mib: float
    """Most memory of the command and all it started at one time, shared pages counted once."""
    code: int
    """Its exit code."""


def measure(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Measured:
    """Run `command`, its output going to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    peak = 0.0
    over = threading.Event()
    began = time.monotonic()
    with log.open("ab") as out:
        program = subprocess.Popen(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=env, cwd=cwd
        )

        def watch() -> None:
            nonlocal peak
            while not over.wait(0.25):
                peak = max(peak, held(program.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = program.wait()
        seconds = time.monotonic() - began
        over.set()
        watcher.join()
    return Measured(seconds=seconds, peak_mib=peak, code=code)


def machine() -> str:
    """This machine in a line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def held(root: int) -> float:
    """MiB that a process and all its descendants hold now, shared pages counted once."""
    return sum(_pss(pid) for pid in _tree(root))


def _tree(root: int) -> set[int]:
    """The process and all its descendants, those in sessions of their own included."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def _pss(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1]) / 1024
    return 0.0
