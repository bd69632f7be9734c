"""Where a registry step runs: which run and step it is, and where MLflow is."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from headrace.registry.recorder import ERROR_FILE
from headrace.registry.recording import MLFLOW_FILE
from headrace.sites.home import Home, find_home

_TRACKING = "MLFLOW_TRACKING_URI"
_WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class RecordedRuns:
    """What MLflow calls a pipeline run and its steps."""

    experiment_id: str
    """The pipeline's experiment."""
    run_id: str
    """The parent run."""
    steps: dict[str, str]
    """The child run of each step."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """A registry step's surroundings. Outside of a run only MLflow and the home are known."""

    tracking_uri: str
    """MLflow, tracking and registry."""
    home: Home
    """The local site's folder."""
    run: str
    """The pipeline run's id; empty outside of one."""
    step: str
    """The step's path in the pipeline; empty outside of a run."""
    pipeline: str
    """The pipeline's name; empty outside of a run."""

    @property
    def run_folder(self) -> Path | None:
        """The run's folder, if there is one."""
        folder = self.home.run(self.run) if self.run else None
        return folder if folder is not None and folder.is_dir() else None

    def recorded_runs(self, step: str = "") -> RecordedRuns | None:
        """MLflow's names for this run, as soon as the recorder has made them.

        Args:
            step: Wait until this step has one too.

        Returns:
            None outside of a run, or when the recorder has not come that far after 5 s.
        """
        folder = self.run_folder
        until = time.monotonic() + _WAIT_SECONDS
        found = None
        while folder is not None:
            found = _read(folder / MLFLOW_FILE)
            settled = found is not None and (not step or step in found.steps)
            hopeless = (folder / ERROR_FILE).exists() or time.monotonic() > until
            if settled or hopeless:
                break
            time.sleep(_POLL_SECONDS)
        return found


def current() -> Context:
    """The context of this process, from its environment."""
    home = find_home(Path.cwd())
    return Context(
        tracking_uri=os.environ.get(_TRACKING) or home.tracking_uri,
        home=home,
        run=os.environ.get("HEADRACE_RUN", ""),
        step=os.environ.get("HEADRACE_STEP", ""),
        pipeline=os.environ.get("HEADRACE_PIPELINE", ""),
    )


def _read(file: Path) -> RecordedRuns | None:
    try:
        found = json.loads(file.read_text())
        return RecordedRuns(
            experiment_id=found["experiment_id"], run_id=found["run_id"], steps=found["steps"]
        )
    except (OSError, ValueError, KeyError):
        return None
