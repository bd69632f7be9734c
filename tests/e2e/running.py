"""`headrace run --on` as people start it: a process of its own, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.site import SiteUnderTest

from headrace.sites.home import Home
from headrace.sites.journal import RunRecord, list_runs, read_events

MAIN = "import sys; from headrace.cli.main import main; sys.exit(main())"
PROJECT = Path(__file__).parent / "project"


@dataclass(kw_only=True)
class Client:
    """Runs of one folder on one site."""

    site: SiteUnderTest
    home: Path

    def start(self, pipeline: str, *options: str, on: bool = True) -> subprocess.Popen[str]:
        """A run under way."""
        there = ["--on", self.site.context, "-n", self.site.namespace, "--direct"] if on else []
        return subprocess.Popen(
            [sys.executable, "-c", MAIN, "run", pipeline, *there, "--json",
             "--home", str(self.home), *options],
            cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip

    def run(self, pipeline: str, *options: str, on: bool = True, seconds: float = 600) -> Result:
        """A run to its end."""
        return finish(self.start(pipeline, *options, on=on), seconds)

    def say(self, *words: str, on: bool = True) -> str:
        """What another command writes."""
        there = ["--on", self.site.context, "-n", self.site.namespace] if on else []
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *words, *there, "--home", str(self.home)],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return done.stdout + done.stderr

    def latest(self) -> RunRecord:
        """The newest run."""
        return list_runs(Home(root=self.home))[-1]

    def events(self) -> list[dict[str, Any]]:
        """Everything that the newest run has written down so far."""
        runs = list_runs(Home(root=self.home))
        return read_events(runs[-1].folder) if runs else []


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended."""

    code: int
    """The exit code."""
    said: dict[str, Any]
    """What --json wrote."""
    errors: str
    """Standard error."""

    @property
    def states(self) -> dict[str, str]:
        """Each step's state."""
        return {one["step"]: one["state"] for one in self.said["steps"]}


def finish(process: subprocess.Popen[str], seconds: float = 600) -> Result:
    """Wait for a run; one that does not end fails the test and is ended."""
    try:
        out, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
        raise AssertionError(f"the run did not end in {seconds:.0f} s\n{out}\n{errors}") from None
    said = json.loads(out) if out.strip().startswith("{") else {}
    return Result(code=process.returncode, said=said, errors=errors)


def until(holds: Callable[[], Any], seconds: float, what: str) -> Any:
    """What `holds` gives, as soon as it gives something true."""
    deadline = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not after {seconds:.0f} s: {what}")
        time.sleep(0.2)
