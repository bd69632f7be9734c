"""The recorder as a process: it outlives its runner, Ctrl-C and trouble, and nothing else.

- a runner that is killed is noticed at once through its pipe, or within a second by its id
- Ctrl-C and SIGTERM are for the runner to answer
- a locked database and a full disk delay or end the record, leave a note, lose nothing
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headrace.registry import database, recorder, tracking
from headrace.registry.recorder import record, replay
from headrace.sites.home import Home

pytestmark = pytest.mark.engine


def wait_for(condition: Callable[[], Any], seconds: float = 90.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def statuses(home: Home) -> dict[str, str]:
    client = tracking.connect(home.tracking_uri)
    (experiment,) = client.search_experiments(filter_string="name = 'flights'")
    found = client.search_runs([experiment.experiment_id])
    return {one.info.run_name: one.info.status for one in found}


@pytest.fixture
def start(run: Any) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a recorder of the run."""
    processes = []

    def begin(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "headrace.registry.recorder", str(run.folder)]
        process = subprocess.Popen([*command, *arguments], **options)
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("how", ["pipe", "process id"])
def test_a_killed_runner_leaves_a_run_recorded_as_killed(
    home: Home, run: Any, start: Callable[..., subprocess.Popen[bytes]], how: str
) -> None:
    reading, writing = os.pipe()
    runner = subprocess.Popen(["sleep", "600"], pass_fds=[writing])
    os.close(writing)
    stat = Path(f"/proc/{runner.pid}/stat").read_text().rpartition(")")[2].split()
    run.start(pid=runner.pid, pid_start=int(stat[19]))
    run.step("features")
    run.done("features")
    run.step("train")
    pipe = ["--alive-fd", str(reading)] if how == "pipe" else []
    process = start(*pipe, pass_fds=[reading] if pipe else [])
    os.close(reading)
    file = run.folder / "mlflow.json"
    wait_for(lambda: file.exists() and "train" in file.read_text())
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    runner.kill()
    runner.wait()
    assert process.wait(timeout=30) == 0
    assert statuses(home) == {"run-1": "KILLED", "features": "FINISHED", "train": "KILLED"}


def test_a_runner_that_died_before_it_began_leaves_nothing(home: Home, run: Any) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    assert record(run.folder, reading)
    os.close(reading)
    assert not (run.folder / "mlflow.json").exists()


def test_a_locked_database_is_waited_for(ready: Home, run: Any) -> None:
    run.start()
    run.end()
    program = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); time.sleep(2)"
    )
    command = [sys.executable, "-c", program, str(ready.database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert record(run.folder)
    assert statuses(ready) == {"run-1": "FINISHED"}


def test_a_database_locked_for_long_leaves_a_note_that_names_the_culprit(
    ready: Home, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_PATIENCE_AT_THE_END_SECONDS", 0.0)
    run.start()
    run.end()
    with closing(sqlite3.connect(ready.database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert not record(run.folder)
    note = (run.folder / "record-error.txt").read_text()
    assert note.startswith("mlflow.db is locked by another process.\n")
    assert replay(run.folder)
    assert statuses(ready) == {"run-1": "FINISHED"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_leaves_a_note_and_is_made_up_for(
    small_disk: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_PATIENCE_AT_THE_END_SECONDS", 0.0)
    home = Home(root=small_disk / ".headrace").ensure()
    database.prepare(home.database, artifacts=home.mlartifacts)
    run.start()
    for index in range(300):
        run.step(f"step-{index}", parameters={"long": "x" * 6000})
    run.end()
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"0" * 1_300_000)
    assert not record(run.folder, tracking_uri=home.tracking_uri)
    note = (run.folder / "record-error.txt").read_text()
    assert "most likely because the disk is full" in note
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=30m", str(small_disk)], check=True)
    assert replay(run.folder, tracking_uri=home.tracking_uri)
    found = statuses(home)
    assert len(found) == 301
    assert set(found.values()) == {"KILLED", "FINISHED"}
