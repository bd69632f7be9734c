"""The socket that a server listens on, and how a successor takes its port over."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
import tempfile
from pathlib import Path

from headrace.core.errors import EnvironmentProblem
from headrace.serving.processes import listener_on

FIRST_PORT = 8500
LAST_PORT = 8999
SO_ATTACH_REUSEPORT_CBPF = 51
BPF_RETURN = 0x06


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to a free port: the one given, or the first free one from 8500 for 0.

    It does not listen yet. No other socket can be bound there, until `share` allows it.

    Raises:
        EnvironmentProblem: The port is in use; names who uses it, if that can be seen.
    """
    for candidate in range(FIRST_PORT, LAST_PORT + 1) if port == 0 else (port,):
        made = socket.socket(_family(host), socket.SOCK_STREAM)
        try:
            _bind_alone(made, host, candidate)
            return made
        except OSError as error:
            made.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise EnvironmentProblem(
                    f"No server can be at {host}: {error.strerror}."
                ) from error
    user = listener_on(port) if port else None
    what = f"Port {port} is in use" if port else f"No port from {FIRST_PORT} to {LAST_PORT} is free"
    hint = "Stop it, or choose another port; 0 takes the first free one."
    raise EnvironmentProblem(
        f"{what}{f' by {user}' if user else ''}.", where=f"{host}:{port}", hint=hint
    )


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _bind_alone(made: socket.socket, host: str, port: int) -> None:
    """Bind so that nobody else can, although the port's last connections may still linger.

    The option that ignores those also lets two sockets bind that do not listen yet; so it is
    taken back at once, and one process of this user does that at a time.
    """
    lock = Path(tempfile.gettempdir()) / f"headrace-ports-{os.getuid()}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)


def about_to_listen(bound: socket.socket) -> None:
    """Let the port be taken again once its listener is gone, while its last connections linger.

    Those inherit this from the listener, and the kernel asks both them and whoever comes next.
    A listening socket is alone on its port all the same.
    """
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def share(held: socket.socket) -> None:
    """Allow processes of the same user to bind the same port beside this socket."""
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def bind_beside(host: str, port: int) -> socket.socket:
    """A socket on a port that a shared one holds already."""
    made = socket.socket(_family(host), socket.SOCK_STREAM)
    share(made)
    made.bind((host, port))
    return made


def take_over(listening: socket.socket) -> None:
    """Steer every new connection to this listener, the second one on its port.

    Otherwise some would still reach the first, and those that it has not accepted when it
    closes would be reset. Where the kernel does not know this (Linux does), nothing happens.
    """
    with contextlib.suppress(OSError):
        # A program of one instruction: return 1, the place of the second listener. Once the
        # first is gone that place is empty, and the kernel goes back to choosing by itself.
        program = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RETURN, 0, 0, 1), 8)
        described = struct.pack("HP", 1, ctypes.addressof(program))
        listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, described)
