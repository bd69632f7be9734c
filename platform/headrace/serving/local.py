"""Servers of a home on this machine: start, hand over, stop, list.

A server is a daemon: it outlives the command or step that started it. What is known of it
stands in `servers/NAME.json`, its log in `servers/NAME.log`.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

from headrace.core.errors import EnvironmentProblem
from headrace.registry.loading import model_folder
from headrace.serving import processes, records, sockets
from headrace.serving.records import ServerRecord
from headrace.sites.home import Home

HOST = "127.0.0.1"
START_SECONDS = 120.0
STOP_SECONDS = 40.0
LOG_LINES = 15
# Of a run or step, not of the server that it starts.
FOREIGN_VARIABLES = (
    "MLFLOW_RUN_ID",
    "HEADRACE_RUN",
    "HEADRACE_STEP",
    "HEADRACE_PIPELINE",
    "PYTHONHOME",
)


def start(
    home: Home,
    name: str,
    version_uri: str,
    version: str,
    alias: str = "",
    port: int = 0,
    run_id: str | None = None,
    timeout: float = START_SECONDS,
    tracking_uri: str | None = None,
) -> ServerRecord:
    """Serve a version, and return once it answers.

    If a server for `name` holds that version already, it is returned as it is. If it holds
    another one, the new server takes its port over without a request failing, and the old one
    answers what it has accepted and ends.

    Args:
        home: Whose registry, and where records and logs are kept.
        name: The registered model.
        version_uri: `models:/NAME/VERSION`.
        version: The version's number.
        alias: The alias that was resolved to it, for the record.
        port: 0 for the port that `name` is served at now, or else the first free one from 8500.
        run_id: The pipeline run that asks, for `stop_of_run`.
        timeout: Seconds until it must answer.
        tracking_uri: Another registry than the home's.

    Raises:
        EnvironmentProblem: The port is in use, or the server did not become ready; with the
            last lines of its log.
        UsageError: There is no such version.
    """
    tracking_uri = tracking_uri or home.tracking_uri
    with _lock(home, name):
        old = _live(_record_path(home, name))
        if old and old.version == version and port in (0, old.port) and _healthy(old):
            return old
        folder = model_folder(version_uri, tracking_uri)
        over = old if old and port in (0, old.port) else None
        bound = sockets.bind_beside(HOST, over.port) if over else sockets.bind(HOST, port)
        with bound:
            sockets.share(bound)
            command = [
                *(sys.executable, "-m", "headrace.serving.server"),
                *("--model", version_uri, "--folder", str(folder), "--name", name),
                *("--tracking-uri", tracking_uri, "--host", HOST, "--alias", alias),
                *("--fd", str(bound.fileno()), "--record", str(_record_path(home, name))),
                *(("--run-id", run_id) if run_id else ()),
                *(("--replaces", f"{old.pid}:{old.pid_start}") if old else ()),
                *(() if over or not old else ("--elsewhere",)),
            ]
            record = _spawn(home, name, command, bound, timeout)
        if old:
            processes.wait_gone(old.pid, old.pid_start, STOP_SECONDS)
        return record


def stop(home: Home, name: str) -> bool:
    """End the server of a model; requests under way are answered first. False if none ran."""
    with _lock(home, name):
        path = _record_path(home, name)
        record = _live(path)
        path.unlink(missing_ok=True)
        return record is not None and processes.stop(
            record.pid, record.pid_start, grace=STOP_SECONDS
        )


def running(home: Home) -> list[ServerRecord]:
    """The servers that run, by name. Records of those that are gone are removed."""
    found = []
    for path in sorted(home.servers.glob("*.json")):
        record = _live(path)
        if record is not None:
            found.append(record)
        elif (gone := records.read(path)) is not None:
            # Whoever holds the lock is about to write a new record.
            with contextlib.suppress(BlockingIOError), _lock(home, gone.name, wait=False):
                if _live(path) is None:
                    path.unlink(missing_ok=True)
    return found


def stop_of_run(home: Home, run_id: str) -> list[str]:
    """End the servers that a pipeline run has started; their models' names."""
    of_run = [record.name for record in running(home) if record.run_id == run_id]
    return [name for name in of_run if stop(home, name)]


def log_path(home: Home, name: str) -> Path:
    """The log of a model's servers."""
    return home.servers / f"{records.file_stem(name)}.log"


def _record_path(home: Home, name: str) -> Path:
    return home.servers / f"{records.file_stem(name)}.json"


def _live(path: Path) -> ServerRecord | None:
    record = records.read(path)
    return record if record and processes.is_running(record.pid, record.pid_start) else None


@contextlib.contextmanager
def _lock(home: Home, name: str, *, wait: bool = True) -> Generator[None, None, None]:
    """One at a time starts or stops a model's server. Raises BlockingIOError if not to wait."""
    home.ensure()
    home.servers.mkdir(exist_ok=True)
    with (home.servers / f"{records.file_stem(name)}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def _healthy(record: ServerRecord) -> bool:
    connection = http.client.HTTPConnection(record.host, record.port, timeout=2)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _spawn(
    home: Home, name: str, command: list[str], bound: socket.socket, timeout: float
) -> ServerRecord:
    """Start the daemon and wait for it; if it does not become ready, nothing of it stays."""
    path = log_path(home, name)
    reader, writer = os.pipe()
    began = time.monotonic()
    with path.open("ab") as output, os.fdopen(reader, "rb", buffering=0) as ready:
        offset = output.tell()
        try:
            process = subprocess.Popen(
                [*command, "--ready-fd", str(writer)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=home.root,
                env=_environment(),
                pass_fds=(bound.fileno(), writer),
                # Ctrl-C in the terminal is for the command that started it.
                start_new_session=True,
            )
        finally:
            os.close(writer)
        done = False
        try:
            why = _await_ready(ready.fileno(), began + timeout)
            done = why is None
        finally:
            if not done:
                _kill(process)
    record = records.read(_record_path(home, name))
    if done and record is not None and record.pid == process.pid:
        return record
    tail = path.read_bytes()[offset:].decode("utf-8", "replace").splitlines()[-LOG_LINES:]
    told = f"The server for {name} {why or 'left no record'}."
    hint = "A module that is missing can be saved with the model: save_model(code_paths=[...])."
    missing = any("ModuleNotFoundError" in line for line in tail)
    raise EnvironmentProblem(
        "\n".join([told, *(f"  | {line}" for line in tail)]),
        where=str(path),
        hint=hint if missing else "Read the log; then start it again.",
    )


def _await_ready(pipe: int, until: float) -> str | None:
    """Read what the daemon reports; what went wrong, if something did."""
    heard = b""
    while b"ready" not in heard:
        left = until - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            return "was not ready in time"
        chunk = os.read(pipe, 4096)
        if not chunk:
            return "ended before it was ready"
        heard += chunk
    return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


def _environment() -> dict[str, str]:
    """Ours, less what belongs to a run; what we can import, the server can import too."""
    environment = {k: v for k, v in os.environ.items() if k not in FOREIGN_VARIABLES}
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(one for one in sys.path if one))
    environment["PYTHONUNBUFFERED"] = "1"
    return environment
