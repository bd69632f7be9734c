"""A run's journal, recorded in a real MLflow: parent, children, data, plots, states.

- parameters, tags, metrics (final and live), datasets, plots and logs are where MLflow shows them
- every state of ours has its status there
- recording again, or in two goes, adds nothing
- two recorders share one database
- what MLflow refuses, and what the recorder cannot reach, costs the rest nothing
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.registry import recorder, tracking
from headrace.registry.recorder import record, replay, unrecorded
from headrace.sites.home import Home

pytestmark = pytest.mark.engine

PNG = b"\x89PNG\r\n\x1a\n rest"


class Runs:
    """MLflow's runs of a pipeline, by step; the parent under the empty name."""

    def __init__(self, home: Home, pipeline: str = "flights") -> None:
        self.client = tracking.connect(home.tracking_uri)
        self.experiment = self.client.get_experiment_by_name(pipeline)
        found = self.client.search_runs([self.experiment.experiment_id])
        self.count = len(found)
        self.of = {one.data.tags.get("headrace.step", ""): one for one in found}

    def status(self) -> dict[str, str]:
        return {step: one.info.status for step, one in self.of.items()}

    def files(self, step: str) -> list[str]:
        return [one.path for one in self.client.list_artifacts(self.of[step].info.run_id)]

    def history(self, step: str, metric: str) -> list[tuple[int, float]]:
        found = self.client.get_metric_history(self.of[step].info.run_id, metric)
        return sorted((one.step, one.value) for one in found)


def full_run(run: Any) -> Any:
    """A run with a bit of everything."""
    art = run.home.root
    for name, content in (("plot", PNG), ("report", b"<p>hello</p>")):
        (art / name).write_bytes(content)
    table = run.artifact("table", art / "table", rows=3)
    outputs = {
        "parameters": {"best": 4},
        "artifacts": {
            "plot": [run.artifact("plot", art / "plot", "system.Artifact")],
            "report": [run.artifact("report", art / "report", "system.HTML")],
        },
    }
    run.start()
    run.step("features", engine="spark")
    run.done("features", outputs={"parameters": {}, "artifacts": {"table": [table]}})
    run.step("loop/0/train", name="train[0]", parameters={"rate": 0.1}, inputs={"table": [table]})
    for epoch in range(3):
        run.add("step_metric", step="loop/0/train", metrics={"loss": 1.0 - epoch / 4}, index=epoch)
    run.done("loop/0/train", name="train[0]", metrics={"auc": 0.7, "loss": 0.4}, outputs=outputs)
    run.done("serve", "skipped")
    run.end(outputs={"version": "models:/flight-delays/1"})
    return run


def test_a_run_is_a_parent_with_a_child_for_each_step(ready: Home, run: Any) -> None:
    assert record(full_run(run).folder)
    runs = Runs(ready)
    parent, train = runs.of[""], runs.of["loop/0/train"]
    assert runs.status() == {"": "FINISHED", "features": "FINISHED", "loop/0/train": "FINISHED"}
    assert (parent.info.run_name, train.info.run_name) == ("run-1", "train[0]")
    assert train.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.info.end_time - parent.info.start_time == 9_000
    assert parent.data.params == {"epochs": "5", "source": "all"}
    assert parent.data.metrics == {"train/0/auc": 0.7, "train/0/loss": 0.4}
    tags = parent.data.tags
    assert {
        name: tags[name] for name in tags if not name.startswith(("headrace.host", "mlflow.u"))
    } == {
        "headrace.run": "run-1",
        "headrace.state": "succeeded",
        "headrace.pipeline": "flights",
        "headrace.code_digest": "sha256:c0de",
        "headrace.version": tags["headrace.version"],
        "headrace.skipped": "serve",
        "headrace.output.version": "models:/flight-delays/1",
        "mlflow.runName": "run-1",
        "mlflow.source.name": "pipelines/flights",
        "mlflow.source.type": "PROJECT",
        "mlflow.source.git.commit": "abc123",
        "mlflow.source.git.branch": "main",
        "mlflow.source.git.dirty": "true",
    }


def test_a_step_has_parameters_live_and_final_metrics_data_and_plots(ready: Home, run: Any) -> None:
    assert record(full_run(run).folder)
    runs = Runs(ready)
    train = runs.of["loop/0/train"]
    assert train.data.params == {"rate": "0.1"}
    assert train.data.metrics == {"auc": 0.7, "loss": 0.4}
    assert runs.history("loop/0/train", "loss") == [(0, 1.0), (1, 0.75), (2, 0.4), (2, 0.5)]
    assert train.data.tags["headrace.output.best"] == "4"
    assert runs.files("loop/0/train") == ["plot.png", "report.html"]
    digest = run.artifact("table", "")["digest"]
    uses = {
        step: [
            (one.dataset.name, one.dataset.digest, json.loads(one.dataset.source), tags)
            for one in runs.of[step].inputs.dataset_inputs
            if (tags := {tag.key: tag.value for tag in one.tags})
        ]
        for step in ("features", "loop/0/train")
    }
    place = {"uri": str(run.home.root / "table")}
    assert uses == {
        step: [
            (
                "table",
                digest.removeprefix("sha256:")[:36],
                place,
                {"mlflow.data.context": context, "headrace.digest": digest},
            )
        ]
        for step, context in (("features", "output"), ("loop/0/train", "input"))
    }


def test_steps_are_told_what_their_runs_are_called(ready: Home, run: Any) -> None:
    assert record(full_run(run).folder)
    runs = Runs(ready)
    assert json.loads((run.folder / "mlflow.json").read_text()) == {
        "experiment_id": runs.experiment.experiment_id,
        "run_id": runs.of[""].info.run_id,
        "steps": {step: one.info.run_id for step, one in runs.of.items() if step},
        "complete": True,
    }
    assert sorted(file.name for file in run.folder.iterdir()) == [
        "events.jsonl",
        "logs",
        "mlflow.json",
    ]


def test_artifacts_land_in_the_home(ready: Home, run: Any) -> None:
    assert record(full_run(run).folder)
    uri = Runs(ready).of["loop/0/train"].info.artifact_uri
    assert uri.startswith((ready.mlartifacts / "flights").as_uri())
    assert len(list(ready.mlartifacts.rglob("plot.png"))) == 1


def test_a_failed_step_fails_with_its_log_and_its_error(ready: Home, run: Any) -> None:
    (run.folder / "logs" / "train.log").write_text("Traceback ...\nValueError: no\n")
    error = {"what": "ValueError: no", "hint": "mend it", "where": [], "kind": "StepFailed"}
    run.start()
    run.step("train")
    run.done("train", "failed", error=error)
    run.end("failed", error=error)
    assert record(run.folder)
    runs = Runs(ready)
    assert runs.status() == {"": "FAILED", "train": "FAILED"}
    assert runs.of["train"].data.tags["headrace.error"] == "ValueError: no"
    assert runs.of[""].data.tags["headrace.error"] == "ValueError: no"
    assert runs.files("train") == ["log.txt"]


def test_a_cancelled_run_and_its_open_steps_are_killed(ready: Home, run: Any) -> None:
    run.start()
    run.step("train")
    run.step("other")
    run.done("other", "cancelled")
    run.end("cancelled")
    assert record(run.folder)
    assert Runs(ready).status() == {"": "KILLED", "train": "KILLED", "other": "KILLED"}


def test_a_reused_step_has_its_figures_and_leads_to_where_they_were_made(
    ready: Home, new_run: Callable[..., Any]
) -> None:
    first, second = new_run("run-1"), new_run("run-2")
    first.start()
    first.step("old-name", fingerprint="sha256:same")
    first.done("old-name", metrics={"auc": 0.7}, fingerprint="sha256:same")
    first.end()
    second.start()
    second.done(
        "train",
        "reused",
        metrics={"auc": 0.7},
        parameters={"rate": 0.1},
        fingerprint="sha256:same",
        reused_from="run-1",
    )
    second.end()
    assert record(first.folder)
    assert record(second.folder)
    runs = Runs(ready)
    train = runs.of["train"]
    assert (train.info.status, train.data.metrics, train.data.params) == (
        "FINISHED",
        {"auc": 0.7},
        {"rate": "0.1"},
    )
    assert train.data.tags["headrace.state"] == "reused"
    assert train.data.tags["headrace.reused_from"] == "run-1"
    assert train.data.tags["headrace.reused_from_mlflow"] == runs.of["old-name"].info.run_id


def test_another_attempt_is_the_same_run(ready: Home, run: Any) -> None:
    run.start()
    run.step("train")
    run.step("train", attempt=2)
    run.done("train", attempt=2)
    run.end()
    assert record(run.folder)
    runs = Runs(ready)
    assert runs.count == 2
    assert runs.of["train"].data.tags["headrace.attempts"] == "2"


def test_recording_again_adds_nothing(ready: Home, run: Any) -> None:
    assert record(full_run(run).folder)
    before = Runs(ready)
    assert replay(run.folder)
    assert replay(run.folder)
    after = Runs(ready)
    assert {step: one.to_dictionary() for step, one in after.of.items()} == {
        step: one.to_dictionary() for step, one in before.of.items()
    }
    for metric in ("loss", "auc"):
        assert after.history("loop/0/train", metric) == before.history("loop/0/train", metric)
    assert after.files("loop/0/train") == before.files("loop/0/train")


def test_a_record_that_broke_off_is_completed(ready: Home, run: Any) -> None:
    run.start()
    run.step("train")
    assert replay(run.folder)
    assert Runs(ready).status() == {"": "RUNNING", "train": "RUNNING"}
    run.done("train", metrics={"auc": 0.7})
    run.end()
    assert unrecorded(ready.runs) == [run.folder]
    assert replay(run.folder)
    runs = Runs(ready)
    assert (runs.count, runs.status()) == (2, {"": "FINISHED", "train": "FINISHED"})
    assert unrecorded(ready.runs) == []


def test_a_run_whose_runner_is_gone_is_recorded_as_killed(ready: Home, run: Any) -> None:
    run.start(pid_start=1)
    run.step("train")
    assert unrecorded(ready.runs) == [run.folder]
    assert replay(run.folder)
    assert Runs(ready).status() == {"": "KILLED", "train": "KILLED"}
    assert unrecorded(ready.runs) == []


def test_an_experiment_that_was_deleted_comes_back(ready: Home, new_run: Any) -> None:
    first, second = new_run("run-1"), new_run("run-2")
    for run in (first, second):
        run.start()
        run.end()
    assert record(first.folder)
    runs = Runs(ready)
    runs.client.delete_experiment(runs.experiment.experiment_id)
    assert record(second.folder)
    assert Runs(ready).experiment.lifecycle_stage == "active"


def test_what_a_steps_own_code_logged_stays(ready: Home, run: Any) -> None:
    run.start()
    run.step("train", parameters={})
    assert replay(run.folder)
    runs = Runs(ready)
    runs.client.log_param(runs.of["train"].info.run_id, "rate", "chosen by the step")
    run.step("train", parameters={"rate": 0.1, "epochs": 5})
    run.done("train")
    run.end()
    assert replay(run.folder)
    assert Runs(ready).of["train"].data.params == {"rate": "chosen by the step", "epochs": "5"}


def test_two_recorders_write_to_one_new_database_at_once(
    home: Home, new_run: Callable[..., Any]
) -> None:
    tracking.import_mlflow()
    folders = [full_run(new_run(f"run-{index}")).folder for index in range(4)]
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(record, folders, chunksize=1) == [True] * 4
    client = tracking.connect(home.tracking_uri)
    (experiment,) = client.search_experiments(filter_string="name = 'flights'")
    found = client.search_runs([experiment.experiment_id])
    names = sorted(one.info.run_name for one in found)
    assert names == sorted([f"run-{index}" for index in range(4)] + ["features", "train[0]"] * 4)
    assert {one.info.status for one in found} == {"FINISHED"}


def test_an_event_that_mlflow_refuses_costs_only_itself(
    ready: Home, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.start()
    run.add("step_metric", step="never started", metrics={"loss": 1.0}, index=0)
    run.step("train")
    run.done("train", metrics={"auc": 0.7})
    run.end()
    assert not record(run.folder)
    assert Runs(ready).of["train"].data.metrics == {"auc": 0.7}
    note = (run.folder / "record-error.txt").read_text()
    assert note == "step_metric never started: 'never started'\n"


def test_a_database_that_cannot_be_used_leaves_a_note_and_can_be_made_up_for(
    home: Home, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_PATIENCE_AT_THE_END_SECONDS", 0.3)
    home.database.write_text("not a database")
    full_run(run)
    assert not record(run.folder)
    note = run.folder / "record-error.txt"
    assert note.read_text().startswith("mlflow.db is not a SQLite database.\n")
    home.database.unlink()
    assert replay(run.folder)
    assert not note.exists()
    assert Runs(home).count == 3


def test_a_plot_that_has_gone_is_passed_over(ready: Home, run: Any) -> None:
    full_run(run)
    Path(run.home.root / "plot").unlink()
    assert record(run.folder)
    assert Runs(ready).files("loop/0/train") == ["report.html"]
