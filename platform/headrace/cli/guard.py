"""Runs a program that must not outlive us: it ends with us, even if we are killed outright.

`python -m headrace.cli.guard FD COMMAND...`: FD is the reading end of a pipe whose writing
end only the caller holds. When it closes, the command and its children are ended.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.2


def guard(alive_fd: int, command: list[str]) -> int:
    """Run the command until it ends or the caller is gone; its exit code."""
    # Ctrl-C reaches the whole terminal; what it means is the caller's to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL)
    while child.poll() is None:
        readable, _, _ = select.select([alive_fd], [], [], _POLL_SECONDS)
        if readable and not os.read(alive_fd, 1):
            break
    _end(child)
    return child.returncode


def _end(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)


if __name__ == "__main__":
    sys.exit(guard(int(sys.argv[1]), sys.argv[2:]))
