"""Where a registry step runs: which run and step it is, and where MLflow is."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from headrace.registry.entities import RUN_TAG, STEP_TAG
from headrace.registry.recorder import ERROR_FILE
from headrace.registry.recording import MLFLOW_FILE
from headrace.registry.tracking import connect, foreign_errors
from headrace.sites.home import Home, find_home

_TRACKING = "MLFLOW_TRACKING_URI"
_WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.05
_ASK_SECONDS = 0.3


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
        elsewhere = self.run and self.tracking_uri.startswith("http")
        until = time.monotonic() + _WAIT_SECONDS
        found = None
        while folder is not None or elsewhere:
            found = _read(folder / MLFLOW_FILE) if folder else None
            # A pod has the journal of its run, and the recorder is with whoever started it.
            found = found or (self._search() if elsewhere else None)
            settled = found is not None and (not step or step in found.steps)
            noted = folder is not None and (folder / ERROR_FILE).exists()
            hopeless = noted or time.monotonic() > until
            if settled or hopeless:
                break
            time.sleep(_ASK_SECONDS if elsewhere else _POLL_SECONDS)
        return found

    def _search(self) -> RecordedRuns | None:
        """What the tracking server knows of this run, where its recorder is elsewhere."""
        client = connect(self.tracking_uri)
        with foreign_errors("look for the run in MLflow", self.tracking_uri):
            experiment = client.get_experiment_by_name(self.pipeline)
            if experiment is None:
                return None
            condition = f"tags.`{RUN_TAG}` = '{self.run}'"
            runs = client.search_runs([experiment.experiment_id], condition, max_results=1000)
        steps = {one.data.tags.get(STEP_TAG, ""): one.info.run_id for one in runs}
        parent = steps.pop("", "")
        if not parent:
            return None
        return RecordedRuns(experiment_id=experiment.experiment_id, run_id=parent, steps=steps)


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
