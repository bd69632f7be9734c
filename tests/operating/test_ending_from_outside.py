"""A run that is ended from outside: its client is asked, or its journal is closed for it."""

import subprocess
import sys
import time

import pytest

from headrace.core.errors import EnvironmentProblem
from headrace.core.states import State
from headrace.operating import ending
from headrace.sites.journal import Journal, process_start, read_events, read_record

OBEDIENT = "import time; time.sleep(60)"
DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('deaf', flush=True); time.sleep(60)"
)


@pytest.fixture
def program():
    started = []

    def start(text):
        process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for one in started:
        one.kill()
        one.wait()


def test_a_client_is_asked_to_end_and_waited_for(program):
    client = program(OBEDIENT)
    born = process_start(client.pid)
    assert ending.stop_client(client.pid, born)
    assert client.wait(5) == -15
    assert not ending.stop_client(client.pid, born)


def test_another_process_that_bears_the_clients_number_is_left_alone(program):
    other = program(OBEDIENT)
    assert not ending.stop_client(other.pid, "1")
    assert other.poll() is None


def test_a_client_that_does_not_end_is_told(program, monkeypatch):
    client = program(DEAF)
    client.stdout.readline()
    monkeypatch.setattr(ending, "CLIENT_SECONDS", 0.5)
    with pytest.raises(EnvironmentProblem) as told:
        ending.stop_client(client.pid, process_start(client.pid))
    assert told.value.what.endswith("was told to end and has not within 0 s.")
    assert told.value.hint.startswith(f"kill -9 {client.pid}, and cancel the run again")


def test_what_was_at_work_is_cancelled_in_a_journal_that_its_client_left_open(tmp_path):
    journal = Journal(tmp_path / "r")
    start = {"type": "run_started", "run": "r", "pipeline": "p", "parameters": {}, "pid": 2**22 + 1}
    for event in (
        start,
        {"type": "step_started", "step": "a", "name": "a", "engine": "python", "attempt": 1},
        {"type": "step_finished", "step": "a", "state": "succeeded"},
        {"type": "step_started", "step": "b", "name": "b[0]", "engine": "ray", "attempt": 2},
    ):
        journal.write(event)
    journal.close()
    assert read_record(tmp_path / "r").killed
    ending.close_journal(tmp_path / "r")
    step, end = read_events(tmp_path / "r")[-2:]
    assert (step["step"], step["name"], step["state"], step["attempt"]) == (
        "b", "b[0]", "cancelled", 2,
    )  # fmt: skip
    assert 0 <= step["seconds"] < 60
    assert (end["type"], end["state"], end["error"]["kind"]) == (
        "run_finished", "cancelled", "RunCancelled",
    )  # fmt: skip
    record = read_record(tmp_path / "r")
    assert (record.state, record.killed) == (State.CANCELLED, False)


def test_a_run_that_was_picked_up_is_alive_as_long_as_its_last_client(tmp_path):
    import os

    journal = Journal(tmp_path / "r")
    start = {"type": "run_started", "run": "r", "pipeline": "p", "parameters": {}}
    journal.write({**start, "pid": 2**22 + 1, "time": time.time() - 60})
    assert read_record(tmp_path / "r").killed
    journal.write({**start, "pid": os.getpid(), "pid_start": process_start(os.getpid())})
    record = read_record(tmp_path / "r")
    assert (record.state, record.killed) == (State.RUNNING, False)
    assert time.time() - record.started > 59
