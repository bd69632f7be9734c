"""One process at a time: a lock file that the kernel lets go of when its holder dies."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from headrace.core.errors import EnvironmentProblem
from headrace.registry.sqlite_errors import locked_problem

WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.02


@contextmanager
def locked(lock: Path, *, wait: float = WAIT_SECONDS, what: Path | None = None) -> Iterator[None]:
    """Hold the lock file `lock` alone among all processes.

    Args:
        lock: The file; it stays where it is afterwards.
        wait: Seconds to wait for its holder.
        what: What the lock stands for, to be named in the error.

    Raises:
        EnvironmentProblem: Held by another process for longer than `wait`.
    """
    until = time.monotonic() + wait
    with _lock_file(lock) as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise locked_problem(lock, what or lock) from None
                time.sleep(_POLL_SECONDS)
        yield


def _lock_file(lock: Path) -> BinaryIO:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        return lock.open("ab")
    except OSError as error:
        raise EnvironmentProblem(
            f"A lock file cannot be made: {error.strerror}.",
            where=str(lock),
            hint="make room on the disk, or choose another folder with HEADRACE_HOME",
        ) from error
