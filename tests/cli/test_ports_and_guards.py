"""Ports that are taken, and programs that must not outlive the command that started them."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from headrace.cli.ports import choose_port, is_free
from headrace.core.errors import EnvironmentProblem
from headrace.sites.journal import process_alive


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_was_asked_for_and_is_taken_is_an_error_with_a_free_one(taken):
    with pytest.raises(EnvironmentProblem) as caught:
        choose_port(taken, default=5000, verb="headrace open")
    assert caught.value.what == f"Port {taken} is in use."
    assert caught.value.where == (f"127.0.0.1:{taken}",)
    assert caught.value.hint.startswith("headrace open --port ")
    assert is_free(int(caught.value.hint.rpartition(" ")[2]))


def test_without_a_wish_the_next_free_port_is_taken(taken):
    chosen = choose_port(None, default=taken, verb="headrace open")
    assert chosen > taken
    assert is_free(chosen)


def test_open_says_that_its_port_is_taken(headrace, taken):
    said = headrace("open", "--port", str(taken))
    assert said.code == 4
    assert said.err.startswith(f"error: Port {taken} is in use.\n")


PARENT = """
import os, subprocess, sys, time
reading, writing = os.pipe()
program = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
subprocess.Popen(
    [sys.executable, "-m", "headrace.cli.guard", str(reading), sys.executable, "-c", program],
    pass_fds=[reading],
)
os.close(reading)
time.sleep(60)
"""


def test_a_guarded_program_ends_when_its_starter_is_killed_outright():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert process_alive(child, None)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until = time.monotonic() + 20
    while process_alive(child, None) and time.monotonic() < until:
        time.sleep(0.05)
    assert not process_alive(child, None)


def test_a_guard_ends_with_its_programs_exit_code():
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "headrace.cli.guard", str(reading), sys.executable, "-c"]
    done = subprocess.run([*command, "raise SystemExit(7)"], pass_fds=[reading])
    os.close(reading)
    os.close(writing)
    assert done.returncode == 7
