"""Ports of this machine: which are free, and which to take."""

from __future__ import annotations

import socket

from headrace.core.errors import EnvironmentProblem

LOOPBACK = "127.0.0.1"
_TRIES = 50


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: a port that lingers after its last server's end counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose_port(wanted: int | None, *, default: int, verb: str) -> int:
    """The port that was asked for, or else the first free one from `default` on.

    Args:
        wanted: What the user asked for; None if nothing.
        default: Where to begin when nothing was asked for.
        verb: The command to suggest in the error.

    Raises:
        EnvironmentProblem: The wanted port is taken, or none is free.
    """
    if wanted is not None and is_free(wanted):
        return wanted
    start = default if wanted is None else wanted
    last = min(start + _TRIES, 65535)
    free = next((port for port in range(start, last + 1) if is_free(port)), None)
    if wanted is None and free is not None:
        return free
    raise EnvironmentProblem(
        f"Port {start} is in use." if wanted else f"No port from {start} to {last} is free.",
        where=f"{LOOPBACK}:{start}",
        hint=f"{verb} --port {free}" if free else f"{verb} --port PORT, with another range",
    )
