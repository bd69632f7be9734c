"""MLflow's pages on the home's record, served on this machine for as long as the command runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

from headrace.cli.options import shown
from headrace.cli.ports import LOOPBACK, choose_port
from headrace.core.errors import EnvironmentProblem
from headrace.sites.home import Home

DEFAULT_PORT = 5000
_PATIENCE_SECONDS = 120.0
_LOG_LINES = 6


def serve_pages(port: int | None, home: Home, on_ready: Callable[[str], None]) -> int:
    """Serve the pages until Ctrl-C.

    Args:
        port: The port to serve them on; the first one that is free from 5000 on unless given.
        home: Whose record.
        on_ready: Called with their URL once they answer.
    """
    from headrace.registry.database import prepare

    if find_spec("mlflow") is None:
        raise EnvironmentProblem("mlflow is not installed.", hint="uv sync --extra mlflow")
    chosen = choose_port(port, default=DEFAULT_PORT, verb="headrace open")
    home.ensure()
    prepare(home.database, artifacts=home.mlartifacts)
    log = home.root / "mlflow.log"
    if port is None and chosen != DEFAULT_PORT:
        click.echo(f"Port {DEFAULT_PORT} is in use: taking {chosen}.")
    click.echo("MLflow is starting, which takes some seconds ...")
    with _server(home, chosen, log) as server:
        _complete_records(home)
        _wait_until_up(server, chosen, log)
        on_ready(f"http://{LOOPBACK}:{chosen}")
        click.echo(f"Its log is {shown(log)}.")
        try:
            code = server.wait()
        except KeyboardInterrupt:
            click.echo(err=True)
            return 0
    raise _ended(code, log)


@contextmanager
def _server(home: Home, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server, ended on the way out; it ends with us even if we are killed."""
    command = [
        sys.executable, "-m", "mlflow", "server",
        "--backend-store-uri", home.tracking_uri,
        "--default-artifact-root", home.mlartifacts.as_uri(),
        "--host", LOOPBACK, "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    reading, writing = os.pipe()
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "headrace.cli.guard", str(reading), *command],
            pass_fds=[reading],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **quiet},
        )
    os.close(reading)
    try:
        yield server
    finally:
        os.close(writing)
        server.wait()


def _complete_records(home: Home) -> None:
    """Bring runs that MLflow did not hear of to the end into the record, while it starts."""
    from headrace.registry.recorder import replay, unrecorded

    for folder in unrecorded(home.runs):
        click.echo(f"Completing the record of run {folder.name} ...")
        replay(folder)


def _wait_until_up(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise _ended(server.returncode, log)
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise EnvironmentProblem(
        f"MLflow did not answer within {_PATIENCE_SECONDS:.0f} s.", where=str(log)
    )


def _ended(code: int, log: Path) -> EnvironmentProblem:
    from headrace.cli.tailing import whole_file

    said = [line for line in whole_file(log, lines=_LOG_LINES) if line.strip()]
    return EnvironmentProblem(
        f"MLflow's server ended with exit code {code}.",
        where=[str(log), *said],
        hint="headrace doctor looks at the database, the disk and the ports",
    )
