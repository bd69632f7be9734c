"""One run's events, written into MLflow as they come.

A pipeline run is a parent run, each step a child. Every operation finds what is already
there before it makes anything, so that events may be applied again: after a failure
halfway, or by a later process.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.core.states import State
from headrace.registry import entities, provenance, writing
from headrace.registry.tracking import despite_races, foreign_errors
from headrace.sites.journal import Event

if TYPE_CHECKING:
    from mlflow import MlflowClient

MLFLOW_FILE = "mlflow.json"
_FLUSH_SECONDS = 1.0


class RunRecord:
    """Where a run's record in MLflow stands, and how the next event changes it.

    Args:
        client: MLflow.
        tracking_uri: Where the client's data is, for errors.
        folder: The run's folder.
        artifacts: Folder for the artifacts of new experiments.
    """

    def __init__(
        self, client: MlflowClient, *, tracking_uri: str, folder: Path, artifacts: Path
    ) -> None:
        self._client = client
        self._uri = tracking_uri
        self._folder = folder
        self._artifacts = artifacts
        self._experiment = ""
        self._run = ""
        self._parent = ""
        self._children: dict[str, str] = {}
        self._open: set[str] = set()
        self._logs: dict[str, str] = {}
        self._last_index: dict[str, int] = defaultdict(int)
        self._skipped: list[str] = []
        self._pending: dict[str, list[Any]] = defaultdict(list)
        self._flushed = time.monotonic()
        self.finished = False

    def apply(self, event: Event) -> None:
        """Write what `event` says.

        Raises:
            HeadraceError: MLflow could not or would not; applying the event again is safe.
        """
        with foreign_errors("record the run in MLflow", self._uri):
            despite_races(lambda: self._apply(event))

    def _apply(self, event: Event) -> None:
        match event["type"]:
            case "run_started":
                self._run_started(event)
            case "step_started":
                self._step_started(event)
            case "step_metric":
                self._step_metric(event)
            case "step_finished":
                self._step_finished(event)
            case "run_finished":
                self._run_finished(event)
            case _:
                pass  # notes are for whoever watches the run

    def flush(self, *, force: bool = False) -> None:
        """Write the metrics that wait, at most once a second unless forced."""
        if not self._pending or not (force or time.monotonic() - self._flushed > _FLUSH_SECONDS):
            return
        with foreign_errors("record metrics in MLflow", self._uri):
            despite_races(self._write_pending)
        self._flushed = time.monotonic()

    def _write_pending(self) -> None:
        for run_id in list(self._pending):
            writing.log(self._client, run_id, metrics=self._pending[run_id])
            del self._pending[run_id]

    def abandon(self, moment: float) -> None:
        """The runner died without a word, at about `moment`: what is still open was killed."""
        if not self._parent or self.finished:
            return
        self.flush(force=True)
        with foreign_errors("record the killed run in MLflow", self._uri):
            error = {"headrace.error": "the process that ran the pipeline was killed"}
            for run_id in [*self._open, self._parent]:
                self._terminate(run_id, State.CANCELLED, moment, error)
            self._open.clear()
            self._complete()

    def _run_started(self, event: Event) -> None:
        self._run = event["run"]
        self._experiment = self._experiment or self._find_experiment(event["pipeline"])
        if not self._parent:
            self._find_runs()
        if not self._parent:
            run = self._client.create_run(
                self._experiment,
                start_time=entities.milliseconds(event["time"]),
                tags=entities.run_tags(event),
                run_name=self._run,
            )
            self._parent = run.info.run_id
        self._write_file()
        writing.log_parameters(self._client, self._parent, event)

    def _find_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            # A server keeps artifacts where it was told to; a database knows no such place.
            served = self._uri.startswith("http")
            folder = (self._artifacts / entities.key(name)).absolute()
            location = None if served else folder.as_uri()
            try:
                return str(self._client.create_experiment(name, artifact_location=location))
            except MlflowException:
                # Another run of the same pipeline was quicker.
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _find_runs(self) -> None:
        for run in self._search(f"tags.`{entities.RUN_TAG}` = '{self._run}'"):
            step = run.data.tags.get(entities.STEP_TAG)
            if step is None:
                self._parent = run.info.run_id
            else:
                self._children[step] = run.info.run_id

    def _search(self, condition: str) -> list[Any]:
        found: list[Any] = []
        token = None
        while True:
            page = self._client.search_runs([self._experiment], condition, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def _step_started(self, event: Event) -> None:
        self._logs[event["step"]] = event.get("log") or ""
        run_id = self._child(event, started=event["time"])
        self._open.add(run_id)
        if event.get("attempt", 1) > 1:
            tags = {"headrace.attempts": str(event["attempt"])}
            writing.log(self._client, run_id, tags=tags)
        writing.log_parameters(self._client, run_id, event)
        writing.log_datasets(self._client, run_id, event, "inputs")

    def _child(self, event: Event, *, started: float) -> str:
        step = event["step"]
        if step not in self._children:
            run = self._client.create_run(
                self._experiment,
                start_time=entities.milliseconds(started),
                tags=entities.step_tags(event, run=self._run, parent=self._parent),
                run_name=event["name"],
            )
            self._children[step] = run.info.run_id
            self._write_file()
        return self._children[step]

    def _step_metric(self, event: Event) -> None:
        run_id = self._children[event["step"]]
        index = int(event.get("index") or 0)
        self._last_index[run_id] = max(self._last_index[run_id], index)
        self._pending[run_id] += writing.metric_entities(event["metrics"], event["time"], index)

    def _step_finished(self, event: Event) -> None:
        state, moment = State(event["state"]), event["time"]
        if state is State.SKIPPED:
            self._skipped.append(event.get("name") or event["step"])
            return
        run_id = self._child(event, started=moment - float(event.get("seconds") or 0.0))
        if event["step"] not in self._logs:  # a reused step never started
            writing.log_parameters(self._client, run_id, event)
            writing.log_datasets(self._client, run_id, event, "inputs")
        writing.log_datasets(self._client, run_id, event, "outputs")
        log_file = self._logs.get(event["step"])
        writing.attach(
            self._client, run_id, event, log_file=self._folder / log_file if log_file else None
        )
        values = event.get("metrics") or {}
        # At the last live index, later in time, so that MLflow shows it as the latest.
        final = writing.metric_entities(values, moment, self._last_index[run_id])
        tags = entities.end_tags(event) | self._link(event)
        self._terminate(run_id, state, moment, tags, self._pending.get(run_id, []) + final)
        self._pending.pop(run_id, None)
        self._open.discard(run_id)
        provenance.complete(self._client, event, folder=self._folder, parent=self._parent)
        headline = {f"{event['name']}/{name}": value for name, value in values.items()}
        if headline:
            self._pending[self._parent] += writing.metric_entities(headline, moment, 0)

    def _link(self, event: Event) -> dict[str, str]:
        """Where a reused step's result was made, in MLflow's terms."""
        origin, mark = event.get("reused_from"), event.get("fingerprint")
        if not origin:
            return {}
        found = self._search(
            f"tags.`{entities.RUN_TAG}` = '{origin}' AND "
            + (
                f"tags.`{entities.FINGERPRINT_TAG}` = '{mark}'"
                if mark
                else f"tags.`{entities.STEP_TAG}` = '{event['step']}'"
            )
        )
        return {"headrace.reused_from_mlflow": found[0].info.run_id} if found else {}

    def _run_finished(self, event: Event) -> None:
        self.flush(force=True)
        for run_id in list(self._open):
            self._terminate(run_id, State.CANCELLED, event["time"], {})
            self._open.discard(run_id)
        tags = entities.end_tags(event)
        if self._skipped:
            tags["headrace.skipped"] = entities.text(", ".join(self._skipped))
        self._terminate(self._parent, State(event["state"]), event["time"], tags)
        self._complete()

    def _terminate(
        self,
        run_id: str,
        state: State,
        moment: float,
        tags: dict[str, str],
        metrics: list[Any] | None = None,
    ) -> None:
        tags = {entities.STATE_TAG: str(state)} | tags
        writing.log(self._client, run_id, metrics=metrics, tags=tags)
        status, end = entities.status(state), entities.milliseconds(moment)
        self._client.set_terminated(run_id, status, end)

    def _complete(self) -> None:
        self.finished = True
        self._write_file()

    def _write_file(self) -> None:
        """Tell the steps, which wait for it, what their runs are called."""
        content = {
            "experiment_id": self._experiment,
            "run_id": self._parent,
            "steps": self._children,
            "complete": self.finished,
        }
        draft = self._folder / f"{MLFLOW_FILE}.{os.getpid()}"
        try:
            draft.write_text(json.dumps(content))
            os.replace(draft, self._folder / MLFLOW_FILE)
        finally:
            draft.unlink(missing_ok=True)
