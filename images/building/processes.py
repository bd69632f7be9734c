"""Programs that a build starts, and other builds on the same machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


def follow(command: Sequence[str], *, everything: bool) -> tuple[int, list[str]]:
    """Run a command to its end: its exit status and its last lines.

    Its output is shown whole, or on a terminal the latest line in place of the one before, or
    not at all.
    """
    last: deque[str] = deque(maxlen=30)
    live = sys.stdout.isatty() and not everything
    width = shutil.get_terminal_size().columns - 5
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            last.append(line)
            if everything:
                print(f"    {line}", end="", flush=True)
            elif live:
                print(f"\r\033[K    {line.strip()[:width]}", end="", flush=True)
    if live:
        print("\r\033[K", end="", flush=True)
    return process.returncode, list(last)


@contextmanager
def turn(what: str) -> Iterator[None]:
    """Wait until no other process of this user builds the same thing, and keep others from it."""
    path = Path(tempfile.gettempdir()) / f"headrace-images-{os.getuid()}-{what}.lock"
    file = _locked(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _locked(path: Path) -> TextIO:
    """A lock file that is this process's alone, and still the one that others would find."""
    while True:
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("  another build makes this already; waiting for it ...", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
        file.close()
