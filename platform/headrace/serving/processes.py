"""Processes of this machine, told apart from later ones with the same number."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

POLL_SECONDS = 0.02
LISTENING = "0A"


def start_of(pid: int) -> int | None:
    """When a process began: clock ticks since boot on Linux, unix seconds elsewhere.

    None if it is gone; a zombie, which only waits to be reaped, is gone too.
    """
    if Path("/proc/self/stat").exists():
        try:
            # The name in parentheses may hold anything; state is the first field after it.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in ("Z", "X") else int(fields[19])
    asked = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    told = subprocess.run(
        asked, check=False, capture_output=True, text=True, env={"LC_ALL": "C"}
    ).stdout.split()
    if len(told) < 6 or told[0].startswith("Z"):
        return None
    return int(time.mktime(time.strptime(" ".join(told[1:6]), "%a %b %d %H:%M:%S %Y")))


def is_running(pid: int, start: int) -> bool:
    """Whether that very process lives: not another that was given its number."""
    return start_of(pid) == start


def send_signal(pid: int, start: int, number: signal.Signals) -> bool:
    """Signal that very process; False if it is gone."""
    if not hasattr(os, "pidfd_open"):
        if is_running(pid, start):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                return True
        return False
    try:
        handle = os.pidfd_open(pid)
    except (ProcessLookupError, OSError):
        return False
    try:
        # The handle keeps meaning one process; that it is ours is checked after it is held.
        if not is_running(pid, start):
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def stop(pid: int, start: int, *, grace: float) -> bool:
    """Ask that very process to end, and after `grace` seconds make it; False if it was gone."""
    if not send_signal(pid, start, signal.SIGTERM):
        return False
    if not wait_gone(pid, start, grace):
        send_signal(pid, start, signal.SIGKILL)
        wait_gone(pid, start, grace)
    return True


def wait_gone(pid: int, start: int, seconds: float) -> bool:
    """Wait for that very process to end; False if it has not by then."""
    until = time.monotonic() + seconds
    while is_running(pid, start):
        if time.monotonic() > until:
            return False
        with contextlib.suppress(ChildProcessError, OSError):
            # Ours or not: a child that has ended stays a zombie until its parent looks.
            os.waitpid(pid, os.WNOHANG)
        time.sleep(POLL_SECONDS)
    return True


def listener_on(port: int) -> str | None:
    """Who listens on a TCP port, as `process 123 (its command)`; None if that cannot be seen."""
    sockets = _listening_sockets(port)
    if not sockets:
        return None
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for handle in (folder / "fd").iterdir():
                if str(handle.readlink()) in sockets:
                    command = (
                        (folder / "cmdline")
                        .read_bytes()
                        .replace(b"\0", b" ")
                        .decode("utf-8", "replace")
                    )
                    return f"process {folder.name} ({command.strip()[:120]})"
    return None


def _listening_sockets(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found
