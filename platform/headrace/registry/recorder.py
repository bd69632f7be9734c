"""The process that records one run in MLflow, beside the runner and never in its way.

It reads the run's journal as the runner writes it. A database that is locked or a disk
that is full delays the record and in the end stops it with a note, `record-error.txt`, in
the run's folder; the pipeline run itself does not notice. `replay` makes up for it later.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from headrace.core.errors import EnvironmentProblem
from headrace.registry import database
from headrace.registry.recording import MLFLOW_FILE, RunRecord
from headrace.registry.tracking import connect, database_of, import_mlflow
from headrace.sites.home import Home
from headrace.sites.journal import FILE, Event, Follower, process_alive, read_events

ERROR_FILE = "record-error.txt"
_POLL_SECONDS = 0.1
_LOOK_FOR_RUNNER_SECONDS = 1.0
# MLflow itself waits 20 s for a lock, so one failed attempt may already have taken that long.
_PATIENCE_SECONDS = 30.0
_PATIENCE_AT_THE_END_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


def record(run_folder: Path, alive_fd: int | None = None, *, tracking_uri: str = "") -> bool:
    """Record a run until it is finished or its runner is gone.

    Args:
        run_folder: The run's folder, `HOME/runs/RUN`.
        alive_fd: The reading end of a pipe whose writing end only the runner holds: its
            end tells at once that the runner is gone. Without it, the runner's process is
            looked for every second.
        tracking_uri: MLflow; the home's own database unless given.

    Returns:
        Whether everything was recorded. If not, `record-error.txt` says why.
    """
    return _Recording(run_folder, tracking_uri).follow(alive_fd)


def replay(run_folder: Path, *, tracking_uri: str = "") -> bool:
    """Record what is missing of a run, as often as one likes: nothing is recorded twice.

    A run whose runner is gone without having said so is recorded as killed; one that is
    still going is recorded as far as it has come.

    Args:
        run_folder: The run's folder, `HOME/runs/RUN`.
        tracking_uri: MLflow; the home's own database unless given.

    Returns:
        Whether everything was recorded. If not, `record-error.txt` says why.
    """
    return _Recording(run_folder, tracking_uri).catch_up()


def unrecorded(runs: Path) -> list[Path]:
    """The run folders in `runs` whose record is incomplete and whose runner is gone."""
    folders = sorted(file.parent for file in runs.glob(f"*/{FILE}"))
    return [folder for folder in folders if not _complete(folder) and _over(folder)]


def run_process(run_folder: Path, alive_fd: int | None = None, *, tracking_uri: str = "") -> int:
    """The whole life of a recorder's process; returns its exit code.

    Ctrl-C reaches every process of the terminal. The runner decides what it means, and the
    recorder has that to write down: it ends when the runner does.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    import_mlflow()
    return 0 if record(run_folder, alive_fd, tracking_uri=tracking_uri) else 1


class _GaveUp(Exception):
    """MLflow has refused for too long; the note is written."""


class _Recording:
    """Carries a run's events over to its record, whatever gets in the way."""

    def __init__(self, folder: Path, tracking_uri: str) -> None:
        home = Home(root=folder.absolute().parent.parent)
        self._folder = folder.absolute()
        self._uri = tracking_uri or home.tracking_uri
        self._artifacts = home.mlartifacts
        self._follower = Follower(self._folder)
        self._waiting: deque[Event] = deque()
        self._started: Event | None = None
        self._over = False
        self._last_moment = 0.0
        self._next_look = 0.0
        self._record: RunRecord | None = None
        self._refused: list[str] = []

    def follow(self, alive_fd: int | None) -> bool:
        try:
            while True:
                gone = self._pause(alive_fd)
                self._write_new()
                if self._record is not None and self._record.finished:
                    return self._end()
                if gone:
                    return self._abandon(time.time())
        except _GaveUp:
            return False

    def catch_up(self) -> bool:
        try:
            self._write_new()
            if self._started and not self._over and not _runner_alive(self._started):
                return self._abandon(self._last_moment)
            if self._record is not None:
                self._insist(lambda record: record.flush(force=True))
            return self._end()
        except _GaveUp:
            return False

    def _pause(self, alive_fd: int | None) -> bool:
        """Wait a little, and say whether the runner is gone."""
        if alive_fd is not None:
            readable, _, _ = select.select([alive_fd], [], [], _POLL_SECONDS)
            return bool(readable) and not os.read(alive_fd, 1)
        time.sleep(_POLL_SECONDS)
        if self._started is None or time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + _LOOK_FOR_RUNNER_SECONDS
        return not _runner_alive(self._started)

    def _take(self) -> None:
        for event in self._follower.new():
            self._waiting.append(event)
            self._last_moment = float(event.get("time") or self._last_moment)
            self._over = self._over or event["type"] == "run_finished"
            if event["type"] == "run_started":
                self._started = event

    def _write_new(self) -> None:
        self._take()
        while self._waiting:
            event = self._waiting[0]
            self._insist(lambda record, event=event: record.apply(event), event)  # type: ignore[misc]
            self._waiting.popleft()
        if self._record is not None:
            self._insist(lambda record: record.flush())

    def _insist(self, action: Callable[[RunRecord], None], event: Event | None = None) -> None:
        """Do `action`, again and again while MLflow cannot, until patience ends."""
        since, pause = time.monotonic(), _FIRST_PAUSE_SECONDS
        while True:
            try:
                action(self._opened())
                return
            except EnvironmentProblem as problem:
                self._take()
                # The way to a cluster's MLflow goes with the runner.
                alone = self._started is not None and not _runner_alive(self._started)
                ending = self._over or alone
                patience = _PATIENCE_AT_THE_END_SECONDS if ending else _PATIENCE_SECONDS
                if time.monotonic() - since > patience:
                    self._note(str(problem))
                    raise _GaveUp from problem
            except Exception as error:  # one thing that MLflow refuses must not cost the rest
                what = event["type"] if event else "metrics"
                self._refused.append(f"{what} {(event or {}).get('step', '')}: {error}")
                if what == "run_started":
                    self._note("\n".join(self._refused))
                    raise _GaveUp from error
                return
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _opened(self) -> RunRecord:
        if self._record is None:
            if path := database_of(self._uri):
                database.prepare(path, artifacts=self._artifacts)
            client = connect(self._uri)
            self._record = RunRecord(
                client, tracking_uri=self._uri, folder=self._folder, artifacts=self._artifacts
            )
        return self._record

    def _abandon(self, moment: float) -> bool:
        if self._record is not None:
            self._insist(lambda record: record.abandon(moment))
        return self._end()

    def _end(self) -> bool:
        if self._refused:
            self._note("\n".join(self._refused))
            return False
        (self._folder / ERROR_FILE).unlink(missing_ok=True)
        return True

    def _note(self, text: str) -> None:
        try:
            (self._folder / ERROR_FILE).write_text(f"{text}\n")
        except OSError as error:  # the disk that is full is this one
            print(f"{text}\n({ERROR_FILE} could not be written: {error})", file=sys.stderr)


def _runner_alive(started: Event) -> bool:
    """Whether the process that wrote this `run_started` still runs."""
    pid = int(started.get("pid") or 0)
    return pid > 0 and process_alive(pid, started.get("pid_start"))


def _complete(run_folder: Path) -> bool:
    try:
        return bool(json.loads((run_folder / MLFLOW_FILE).read_text()).get("complete"))
    except (OSError, ValueError):
        return False


def _over(run_folder: Path) -> bool:
    events = read_events(run_folder)
    if any(event["type"] == "run_finished" for event in events):
        return True
    started = next((event for event in events if event["type"] == "run_started"), None)
    return started is not None and not _runner_alive(started)


def main(arguments: list[str] | None = None) -> int:
    """`python -m headrace.registry.recorder RUN_FOLDER`."""
    parser = argparse.ArgumentParser(prog="headrace-recorder", description=__doc__)
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("--alive-fd", type=int, default=None)
    parser.add_argument("--tracking-uri", default="")
    given = parser.parse_args(arguments)
    return run_process(given.run_folder, given.alive_fd, tracking_uri=given.tracking_uri)


if __name__ == "__main__":
    sys.exit(main())
