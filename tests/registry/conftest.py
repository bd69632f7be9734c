"""Runs' journals made by hand, and databases to record them in."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.registry import database
from headrace.sites.home import Home


class Journal:
    """Writes a run's journal as a runner would."""

    def __init__(self, home: Home, run: str, *, pipeline: str = "flights") -> None:
        self.home = home
        self.run = run
        self.pipeline = pipeline
        self.folder = home.run(run)
        (self.folder / "logs").mkdir(parents=True)
        self.clock = 1_700_000_000.0

    def add(self, kind: str, **fields: Any) -> None:
        """Append an event, a second after the last."""
        self.clock += 1.0
        line = json.dumps({"time": self.clock, "type": kind, **fields})
        with (self.folder / "events.jsonl").open("a") as file:
            file.write(f"{line}\n")

    def start(self, **fields: Any) -> None:
        """Append `run_started`, of a runner that is this process unless told otherwise."""
        defaults: dict[str, Any] = {
            "run": self.run,
            "pipeline": self.pipeline,
            "parameters": {"epochs": 5, "source": "all"},
            "code_digest": "sha256:c0de",
            "git": {"commit": "abc123", "dirty": True, "branch": "main"},
            "source": "pipelines/flights",
            "pid": os.getpid(),
            "pid_start": None,
            "steps_total": 2,
            "plan": [],
        }
        self.add("run_started", **(defaults | fields))

    def step(self, step: str, **fields: Any) -> None:
        """Append `step_started`."""
        defaults: dict[str, Any] = {
            "name": step,
            "engine": "python",
            "attempt": 1,
            "parameters": {},
            "inputs": {},
            "log": f"logs/{step}.log",
            "fingerprint": f"sha256:{step}",
        }
        self.add("step_started", step=step, **(defaults | fields))

    def done(self, step: str, state: str = "succeeded", **fields: Any) -> None:
        """Append `step_finished`."""
        defaults: dict[str, Any] = {
            "name": step,
            "state": state,
            "seconds": 1.0,
            "attempt": 1,
            "parameters": {},
            "inputs": {},
            "outputs": {"parameters": {}, "artifacts": {}},
            "metrics": {},
            "error": None,
            "reused_from": None,
            "fingerprint": f"sha256:{step}",
            "engine": "python",
        }
        self.add("step_finished", step=step, **(defaults | fields))

    @staticmethod
    def artifact(
        name: str, uri: Path | str, kind: str = "system.Dataset", **metadata: Any
    ) -> dict[str, Any]:
        """An artifact as journals describe it, its digest made up from its name."""
        digest = f"sha256:{name.encode().hex():0<64}"
        uri = str(uri)
        return {"name": name, "type": kind, "uri": uri, "metadata": metadata, "digest": digest}

    def end(self, state: str = "succeeded", **fields: Any) -> None:
        """Append `run_finished`."""
        self.add("run_finished", **({"state": state, "seconds": 5.0, "error": None} | fields))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home, its path with a space and a percent sign in it."""
    return Home(root=tmp_path / "my project 100%" / ".headrace").ensure()


@pytest.fixture
def ready(home: Home) -> Home:
    """A home whose database is ready."""
    database.prepare(home.database, artifacts=home.mlartifacts)
    return home


@pytest.fixture
def new_run(home: Home) -> Callable[..., Journal]:
    """Begin the journal of another run in the home."""

    def begin(run: str = "run-1", **fields: Any) -> Journal:
        return Journal(home, run, **fields)

    return begin


@pytest.fixture
def run(new_run: Callable[..., Journal]) -> Journal:
    """The journal of a run that has written nothing yet."""
    return new_run()


@pytest.fixture
def step_of(ready: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Home]:
    """Make this process a step of a run, or of none; gives the home."""

    def become(run: str = "", step: str = "") -> Home:
        for name, value in {
            "HEADRACE_HOME": str(ready.root),
            "HEADRACE_RUN": run,
            "HEADRACE_STEP": step,
            "MLFLOW_TRACKING_URI": ready.tracking_uri,
            "MLFLOW_REGISTRY_URI": ready.tracking_uri,
        }.items():
            monkeypatch.setenv(name, value)
        return ready

    return become


@pytest.fixture(scope="session")
def save_model() -> Callable[..., Path]:
    """Save a logistic regression as an MLflow model: `save_model(folder, columns, seed=0)`."""

    def save(folder: Path, columns: list[str], *, seed: int = 0, classes: int = 2) -> Path:
        import mlflow
        import numpy as np
        import pandas as pd
        from sklearn.linear_model import LogisticRegression

        numbers = np.random.default_rng(seed)
        rows = pd.DataFrame(numbers.normal(size=(60, len(columns))), columns=columns)
        model = LogisticRegression().fit(rows, numbers.integers(0, classes, len(rows)))
        signature = mlflow.models.infer_signature(rows, model.predict(rows))
        # Named requirements spare MLflow the seconds in which it would look for them.
        mlflow.sklearn.save_model(
            model, folder, signature=signature, pip_requirements=["scikit-learn"]
        )
        return folder

    return save
