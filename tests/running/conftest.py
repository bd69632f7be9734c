"""A project of its own for each test, run in this process or in one that the test may kill.

Every process of a run carries the test's mark in the environment that the kernel keeps, so
what a run left behind is found whatever it calls itself.
"""

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from headrace.compiling.pipeline import Compiled, compile_pipeline, find_pipeline
from headrace.running.run import RunResult, run_pipeline
from headrace.sites.home import Home
from headrace.sites.journal import RunRecord, list_runs, read_events

MARK = "HEADRACE_TEST_MARK"
RUNNER = """
import json, os, signal, sys
from pathlib import Path

from headrace.compiling.pipeline import compile_pipeline, find_pipeline
from headrace.core.errors import HeadraceError
from headrace.running.run import run_pipeline
from headrace.sites.home import Home

given = json.loads(sys.argv[1])


def on_event(event):
    at = given["signal_at"]
    if at and all(event.get(key) == value for key, value in at.items()):
        os.kill(os.getpid(), getattr(signal, given["signal"]))


try:
    compiled = compile_pipeline(find_pipeline(given["pipeline"]))
    result = run_pipeline(
        compiled, given["arguments"], Home(root=Path(given["home"])),
        on_event=on_event, **given["options"],
    )
    said = {"run": result.run_id, "state": result.state, "outputs": result.outputs,
            "error": result.error}
except HeadraceError as error:
    said = {"kind": type(error).__name__, "what": error.what, "where": error.where,
            "hint": error.hint, "exit_code": error.exit_code}
print(json.dumps(said))
"""


@dataclass(kw_only=True)
class Project:
    """A folder with `pipeline.py` and what it imports, and a home for its runs."""

    root: Path
    """The folder with `pipeline.py`."""
    home: Home
    """Where its runs go."""
    mark: str
    """What every process of its runs carries in its environment."""
    started: list["subprocess.Popen[str]"] = field(default_factory=list)
    """Processes that `start` made."""

    def write(self, **files: str) -> None:
        """Write Python files by module name."""
        for name, text in files.items():
            (self.root / f"{name}.py").write_text(textwrap.dedent(text))

    def compiled(self) -> Compiled:
        return compile_pipeline(find_pipeline(str(self.root / "pipeline.py")))

    def run(self, *, record: bool = False, **arguments: Any) -> RunResult:
        """Run it in this process."""
        return run_pipeline(self.compiled(), arguments, self.home, record=record)

    def start(
        self,
        *,
        arguments: dict[str, Any] | None = None,
        signal_at: dict[str, Any] | None = None,
        signal: str = "SIGINT",
        environment: dict[str, str] | None = None,
        **options: Any,
    ) -> "subprocess.Popen[str]":
        """Run it in a process of its own.

        Args:
            arguments: The pipeline's arguments.
            signal_at: Fields of the event at which the process sends itself a signal.
            signal: That signal.
            environment: More variables.
            options: Options of `run_pipeline`.
        """
        given = {
            "pipeline": str(self.root / "pipeline.py"), "home": str(self.home.root),
            "arguments": arguments or {}, "options": {"record": False, **options},
            "signal_at": signal_at, "signal": signal,
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, json.dumps(given)],
            env={**os.environ, MARK: self.mark, "PYTHONDONTWRITEBYTECODE": "1"}
            | (environment or {}),
            cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def said(self, process: "subprocess.Popen[str]", timeout: float = 60) -> dict[str, Any]:
        """What a started process came to."""
        out, problem = process.communicate(timeout=timeout)
        print(problem)  # shown when the test fails
        return dict(json.loads(out.splitlines()[-1])) if out else {}

    def processes(self) -> dict[int, str]:
        """The command line of every process of this project's runs that is there."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    words = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(folder.name)] = words.decode()
            except OSError:
                continue  # gone since, or a zombie
        return {pid: words for pid, words in found.items() if words}

    def until_gone(self, seconds: float = 20) -> None:
        """Wait until no process of this project's runs is left."""
        deadline = time.monotonic() + seconds
        while left := self.processes():
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.05)

    def runs(self) -> list[RunRecord]:
        return list_runs(self.home)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of one type in the latest run."""
        runs = self.runs()
        found = read_events(runs[-1].folder) if runs else []
        return [one for one in found if one["type"] == kind]


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    """An empty project, whose modules and processes are gone after the test."""
    root = tmp_path / "project"
    root.mkdir()
    made = Project(root=root, home=Home(root=tmp_path / "home"), mark=str(tmp_path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setenv(MARK, made.mark)
        yield made
    for process in made.started:
        process.kill()
        process.communicate()
    for pid in made.processes():
        if pid != os.getpid():
            os.kill(pid, 9)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(f"{root}{os.sep}"):
            del sys.modules[name]


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for something that happens in another process."""

    def wait(condition: Callable[[], object], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.02)

    return wait
