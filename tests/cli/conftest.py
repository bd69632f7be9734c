"""A builder of journals, and whole recorded runs to draw."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from headrace.cli.main import main
from headrace.core.states import State

START = 1_795_507_200.0
RUN = "flights-20261124-081500-7c1e"


class Recorded:
    """Events of one run, each at a chosen second after its start."""

    def __init__(self, pipeline: str = "flights", run: str = RUN, **plan: str) -> None:
        self.run = run
        self.events: list[dict[str, Any]] = [
            {
                "type": "run_started",
                "time": START,
                "run": run,
                "pipeline": pipeline,
                "parameters": {"epochs": 5},
                "code_digest": "sha256:4f1a",
                "git": {"commit": "9eb4e56", "dirty": True, "branch": "main"},
                "source": f"pipelines/{pipeline}",
                "pid": 4242,
                "pid_start": "77",
                "steps_total": len(plan),
                "plan": [
                    {"step": name, "name": name, "engine": engine} for name, engine in plan.items()
                ],
            }
        ]

    def add(self, at: float, kind: str, **content: Any) -> Recorded:
        """Append an event."""
        self.events.append({"type": kind, "time": START + at, **content})
        return self

    def start(self, at: float, step: str, engine: str = "python", **content: Any) -> Recorded:
        """A step starts; its name is the last part of its id unless given."""
        found = {"name": step.rpartition("/")[2], "attempt": 1, "parameters": {}, "inputs": {}}
        log = f"logs/{step.replace('/', '.')}.log"
        content = {**found, "log": log, "fingerprint": "f", **content}
        return self.add(at, "step_started", step=step, engine=engine, **content)

    def finish(self, at: float, step: str, **content: Any) -> Recorded:
        """A step is over; it succeeded unless `state` says otherwise."""
        outputs = {"parameters": content.pop("outputs", {}), "artifacts": {}}
        found = {
            "name": step.rpartition("/")[2],
            "state": State.SUCCEEDED.value,
            "seconds": at,
            "attempt": 1,
            "engine": "python",
            "error": None,
            "reused_from": None,
            "metrics": {},
        }
        content = {**found, "outputs": outputs, **content}
        return self.add(at, "step_finished", step=step, **content)

    def end(self, at: float, state: State = State.SUCCEEDED, **content: Any) -> Recorded:
        """The run is over."""
        content = {"error": None, "outputs": {}, **content}
        return self.add(at, "run_finished", state=state.value, seconds=at, **content)

    def write(self, runs: Path) -> Path:
        """The journal as a run's folder below `runs`."""
        folder = runs / self.run
        (folder / "logs").mkdir(parents=True)
        text = "".join(json.dumps(event) + "\n" for event in self.events)
        (folder / "events.jsonl").write_text(text)
        return folder


METRICS = {
    "auc": 0.712345,
    "average_precision": 0.4102,
    "brier": 0.1311,
    "log_loss": 0.4205,
    "ece": 0.0121,
    "rate.auc": 0.6402,
    "logistic.auc": 0.6893,
    "champion.auc": 0.7081,
    "champion.version": 2.0,
}


def flights() -> Recorded:
    """A run of flights up to its evaluation."""
    run = Recorded(
        features="spark", train="ray", evaluate="headrace", register="headrace",
        promote="headrace", serve="headrace",
    )  # fmt: skip
    run.start(0.3, "features", "spark").finish(21.7, "features", engine="spark", seconds=21.4)
    run.start(21.8, "train", "ray")
    for epoch in range(1, 4):
        metrics = {"auc": 0.69 + epoch / 100, "loss": 0.5 - epoch / 50}
        run.add(25.0 + 6 * epoch, "step_metric", step="train", metrics=metrics, index=epoch)
    return run


def promoted() -> Recorded:
    """A run of flights that went well."""
    run = flights().finish(52.9, "train", engine="ray", seconds=31.1, metrics={"auc": 0.721})
    run.start(53.0, "evaluate", "headrace")
    run.finish(58.2, "evaluate", engine="headrace", seconds=5.2, metrics=METRICS)
    run.start(58.3, "register", "headrace")
    version = "models:/flight-delays/3"
    run.finish(61.0, "register", engine="headrace", seconds=2.7, outputs={"version": version})
    run.start(61.1, "promote", "headrace", parameters={"version": version, "alias": "champion"})
    decision = {
        "promoted": True, "alias": "champion", "gate": "auc >= champion.auc",
        "name": "flight-delays", "version": 3, "champion": 2,
        "reasons": ["auc 0.712 >= champion.auc 0.708"],
        "figures": {"auc": 0.712345, "champion.auc": 0.7081},
    }  # fmt: skip
    run.finish(
        61.5, "promote", engine="headrace", seconds=0.4, outputs={"decision": decision},
        parameters={"version": version, "alias": "champion"},
    )  # fmt: skip
    run.start(61.6, "serve", "headrace", parameters={"model": "flight-delays"})
    run.finish(
        67.9, "serve", engine="headrace", seconds=6.3,
        parameters={"model": "flight-delays"}, outputs={"Output": "http://127.0.0.1:43121"},
    )  # fmt: skip
    return run.end(68.2)


@pytest.fixture
def drawn() -> Callable[..., str]:
    """Draws a renderable as plain text, without the blanks at the ends of its lines."""

    def draw(renderable: RenderableType, width: int = 80) -> str:
        out = StringIO()
        console = Console(file=out, width=width, highlight=False, markup=False, emoji=False)
        console.print(renderable, crop=False)
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines())

    return draw


@pytest.fixture
def headrace(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Said]:
    """Runs a command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADRACE_HOME", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()

    def run(*words: str) -> Said:
        code = main(list(words))
        said = capsys.readouterr()
        return Said(code=code, out=said.out, err=said.err)

    return run


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command line left behind."""

    code: int
    """Its exit code."""
    out: str
    """Its standard output."""
    err: str
    """Its standard error."""

    @property
    def lines(self) -> list[str]:
        """Standard output without the blanks at the ends of its lines."""
        return [line.rstrip() for line in self.out.splitlines()]


@pytest.fixture
def recorded() -> Callable[..., Recorded]:
    """The builder."""
    return Recorded


KEY_ERROR = {
    "what": "KeyError: 'dep_dela'",
    "where": [],
    "hint": "",
    "kind": "KeyError",
    "exit_code": 1,
    "traceback": f'  File "/home/.headrace/code/{"a1" * 32}/flights/steps.py", line 88, in train\n'
    '    rows = table["dep_dela"]\n           ~~~~~^^^^^^^^^^^^',
}


def failed() -> Recorded:
    """A run of flights whose training failed at its second attempt."""
    run = flights().finish(
        44.0, "train", engine="ray", seconds=22.2, state="failed", attempt=2, error=KEY_ERROR
    )
    return run.end(44.5, State.FAILED, error=KEY_ERROR)


@pytest.fixture
def flights_failed() -> Recorded:
    """See `failed`."""
    return failed()


@pytest.fixture
def flights_at_work() -> Recorded:
    """See `flights`."""
    return flights()


@pytest.fixture
def flights_promoted() -> Recorded:
    """See `promoted`."""
    return promoted()
