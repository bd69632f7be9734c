"""Processes are told apart from later ones with the same number."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from headrace.core.errors import EnvironmentProblem
from headrace.serving import processes, sockets


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_process_is_known_by_its_number_and_its_start(sleeper: subprocess.Popen[bytes]) -> None:
    start = processes.start_of(sleeper.pid)
    assert start is not None
    assert processes.is_running(sleeper.pid, start)
    assert not processes.is_running(sleeper.pid, start + 1)


def test_a_process_with_another_start_is_never_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    start = processes.start_of(sleeper.pid) or 0
    assert not processes.send_signal(sleeper.pid, start + 1, signal.SIGKILL)
    assert not processes.stop(sleeper.pid, start + 1, grace=1)
    assert sleeper.poll() is None
    assert processes.stop(sleeper.pid, start, grace=10)
    # Nothing is known of its end if `stop` was quicker to bury it.
    assert sleeper.wait(5) in (-signal.SIGTERM, 0)


def test_a_zombie_is_gone(sleeper: subprocess.Popen[bytes]) -> None:
    start = processes.start_of(sleeper.pid) or 0
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert processes.start_of(sleeper.pid) is None
    assert not processes.is_running(sleeper.pid, start)


def test_one_that_ignores_the_request_is_made_to_end() -> None:
    code = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert processes.stop(process.pid, processes.start_of(process.pid) or 0, grace=0.2)
        assert not processes.is_running(process.pid, 0)


def test_a_port_in_use_names_its_user() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentProblem) as refused:
            sockets.bind("127.0.0.1", port)
    error = refused.value
    assert error.what.startswith(f"Port {port} is in use by process {os.getpid()} (")
    assert error.where == (f"127.0.0.1:{port}",)
    assert error.hint == "Stop it, or choose another port; 0 takes the first free one."


def test_a_port_can_be_taken_again_while_its_last_connections_linger() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for _ in range(2):
        with sockets.bind("127.0.0.1", port) as bound:
            sockets.about_to_listen(bound)
            bound.listen()
            with socket.create_connection(("127.0.0.1", port)):
                # Whoever closes first is the one whose end of the connection lingers.
                bound.accept()[0].close()
            with pytest.raises(EnvironmentProblem):
                sockets.bind("127.0.0.1", port)


def test_a_bound_port_is_nobody_elses_until_it_is_shared() -> None:
    with sockets.bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(EnvironmentProblem):
            sockets.bind("127.0.0.1", port)
        with pytest.raises(OSError, match="in use"):
            sockets.bind_beside("127.0.0.1", port).close()
        sockets.share(first)
        sockets.bind_beside("127.0.0.1", port).close()
        with sockets.bind("127.0.0.1", 0) as second:
            assert second.getsockname()[1] > port


@pytest.mark.skipif(sys.platform != "linux", reason="the steering is Linux's")
def test_a_successor_gets_every_new_connection() -> None:
    def accepted(listener: socket.socket) -> int:
        listener.setblocking(False)
        count = 0
        while True:
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1

    with sockets.bind("127.0.0.1", 0) as old:
        sockets.share(old)
        port = old.getsockname()[1]
        old.listen()
        with sockets.bind_beside("127.0.0.1", port) as new:
            new.listen()
            sockets.take_over(new)
            made = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
            assert (accepted(old), accepted(new)) == (0, 30)
            old.close()
            made += [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
            assert accepted(new) == 30
            for one in made:
                one.close()
