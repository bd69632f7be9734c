"""Which processes hold a SQLite file open or locked: read from /proc, so only on Linux."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_COMPANIONS = ("", "-wal", "-shm", "-journal")
_SHOWN_CHARACTERS = 100


def holders(database: Path) -> list[str]:
    """The other processes that keep `database` locked, as "process 42 (mlflow ui ...)".

    Those that hold a write lock, as far as the kernel tells; else all that have the file
    open. Empty where nothing is known: not on Linux, or the process is another user's.
    """
    files = [Path(f"{database}{suffix}") for suffix in _COMPANIONS]
    writers = set(_lock_owners(files)) - {os.getpid()}
    found = writers or set(_openers(files)) - {os.getpid()}
    return [f"process {pid} ({_command(pid)})" for pid in sorted(found)]


def _lock_owners(files: list[Path]) -> Iterator[int]:
    wanted = set()
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        device = status.st_dev
        wanted.add(f"{os.major(device):02x}:{os.minor(device):02x}:{status.st_ino}")
    try:
        lines = (_PROC / "locks").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        # 1: POSIX  ADVISORY  WRITE 7188 fe:00:9978065 120 120
        fields = line.split()
        if len(fields) == 8 and fields[3] == "WRITE" and fields[5] in wanted:
            yield int(fields[4])


def _openers(files: list[Path]) -> Iterator[int]:
    wanted = {str(file) for file in files}
    for descriptor in _PROC.glob("[0-9]*/fd/*"):
        try:
            if str(descriptor.readlink()) in wanted:
                yield int(descriptor.parts[2])
        except OSError:  # the process ended, or is another user's
            continue


def _command(pid: int) -> str:
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "ended meanwhile"
    text = " ".join(words).strip()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
