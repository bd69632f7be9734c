"""`register` makes a version that leads back to everything, once for each content."""

from __future__ import annotations

import json
import multiprocessing
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp.dsl import Metrics, Model

from headrace.core.errors import UsageError
from headrace.registry import catalog, steps, tracking
from headrace.registry.digests import model_digest
from headrace.registry.recorder import replay
from headrace.sites.home import Home

pytestmark = pytest.mark.engine

COLUMNS = ["hour", "wind", "distance"]


@pytest.fixture
def model(tmp_path: Path, save_model: Callable[..., Path]) -> Model:
    return Model(uri=str(save_model(tmp_path / "model", COLUMNS)))


def test_the_first_model_of_a_name_is_version_1(model: Model, step_of: Callable[..., Home]) -> None:
    home = step_of()
    assert steps.register(model, "flight-delays") == ("models:/flight-delays/1",)
    (version,) = catalog.versions(home.tracking_uri, "flight-delays")
    assert (version.version, version.digest) == (1, model_digest(Path(model.path)))


def test_a_version_predicts_after_its_run_was_cleaned_away(
    model: Model, step_of: Callable[..., Home]
) -> None:
    import mlflow
    import pandas as pd

    step_of()
    rows = pd.DataFrame([[0.1, 0.2, 0.3]], columns=COLUMNS)
    expected = mlflow.pyfunc.load_model(model.path).predict(rows).tolist()
    version = steps.register(model, "flight-delays").version
    shutil.rmtree(model.path)
    assert mlflow.pyfunc.load_model(version).predict(rows).tolist() == expected


def test_the_same_content_is_the_same_version(
    model: Model, step_of: Callable[..., Home], tmp_path: Path, save_model: Callable[..., Path]
) -> None:
    step_of()
    again = Model(uri=str(shutil.copytree(model.path, tmp_path / "again")))
    description = Path(again.path) / "MLmodel"
    description.write_text(
        re.sub("utc_time_created: .*", "utc_time_created: later", description.read_text())
    )
    other = Model(uri=str(save_model(tmp_path / "other", COLUMNS, seed=1)))
    made = [steps.register(one, "flight-delays").version for one in (model, again, other, model)]
    assert made == [f"models:/flight-delays/{number}" for number in (1, 1, 2, 1)]


def test_a_version_leads_back_to_run_code_data_and_figures(
    model: Model, step_of: Callable[..., Home], run: Any
) -> None:
    table = run.artifact("table", "/art/table")
    made = run.artifact("model", model.path, "system.Model")
    run.start()
    run.step("features")
    run.done("features", outputs={"artifacts": {"table": [table]}})
    run.step("train", inputs={"table": [table]})
    run.done(
        "train",
        inputs={"table": [table]},
        outputs={"artifacts": {"model": [made]}},
        metrics={"auc": 0.6, "loss": 0.4},
    )
    run.step("register", inputs={"model": [made]})
    assert replay(run.folder)
    home = step_of("run-1", "register")
    metrics = Metrics(metadata={"auc": 0.7, "carrier.auc": 0.5, "comment": "no number"})
    steps.register(model, "flight-delays", metrics)
    recorded = json.loads((run.folder / "mlflow.json").read_text())
    found = catalog.lineage(home.tracking_uri, "flight-delays", 1)
    assert found == catalog.VersionLineage(
        version=catalog.Version(
            name="flight-delays",
            version=1,
            aliases=(),
            created=found.version.created,
            digest=model_digest(Path(model.path)),
            run="run-1",
            metrics={"auc": 0.7, "loss": 0.4, "carrier.auc": 0.5},
        ),
        pipeline="flights",
        source="pipelines/flights",
        step="train",
        steps=("features", "train"),
        code_digest="sha256:c0de",
        git={"commit": "abc123", "dirty": True, "branch": "main"},
        datasets=(
            catalog.DatasetSource(
                name="table", uri="/art/table", digest=table["digest"], step="features"
            ),
        ),
        mlflow_run=recorded["steps"]["train"],
        mlflow_parent=recorded["run_id"],
    )
    client = tracking.connect(home.tracking_uri)
    version = client.get_model_version("flight-delays", "1")
    assert version.description == "Made by the step `train` of the run `run-1` of flights."
    logged = client.get_logged_model(version.source.removeprefix("models:/"))
    assert logged.source_run_id == recorded["steps"]["train"]
    (output,) = client.get_run(recorded["steps"]["train"]).outputs.model_outputs
    assert output.model_id == logged.model_id


def test_a_version_registered_far_from_its_journal_gets_its_lineage_from_the_recorder(
    model: Model,
    step_of: Callable[..., Home],
    run: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = step_of("run-1", "register")
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "a pod's"))
    monkeypatch.setenv("HEADRACE_PIPELINE", "flights")
    version = steps.register(model, "flight-delays").version
    before = catalog.lineage(home.tracking_uri, "flight-delays", 1)
    assert (before.version.run, before.pipeline, before.steps) == ("run-1", "flights", ())

    table = run.artifact("table", "/art/table")
    made = run.artifact("model", model.path, "system.Model")
    run.start()
    run.done("features", outputs={"artifacts": {"table": [table]}})
    run.done("train", inputs={"table": [table]}, outputs={"artifacts": {"model": [made]}})
    outputs = {"parameters": {"version": version}, "artifacts": {}}
    run.done("register", inputs={"model": [made]}, outputs=outputs, engine="headrace")
    run.end()
    assert replay(run.folder)
    recorded = json.loads((run.folder / "mlflow.json").read_text())
    after = catalog.lineage(home.tracking_uri, "flight-delays", 1)
    assert after == catalog.VersionLineage(
        version=after.version,
        pipeline="flights",
        source="pipelines/flights",
        step="train",
        steps=("features", "train"),
        code_digest="sha256:c0de",
        git={"commit": "abc123", "dirty": True, "branch": "main"},
        datasets=(
            catalog.DatasetSource(
                name="table", uri="/art/table", digest=table["digest"], step="features"
            ),
        ),
        mlflow_run="",
        mlflow_parent=recorded["run_id"],
    )


def test_a_later_run_does_not_claim_a_version_that_was_there(
    model: Model, step_of: Callable[..., Home], new_run: Any
) -> None:
    for name in ("run-1", "run-2"):
        run = new_run(name)
        made = run.artifact("model", model.path, "system.Model")
        run.start()
        run.done("train", outputs={"artifacts": {"model": [made]}})
        home = step_of(name, "register")
        version = steps.register(model, "flight-delays").version
        outputs = {"parameters": {"version": version}, "artifacts": {}}
        run.done("register", inputs={"model": [made]}, outputs=outputs, engine="headrace")
        run.end()
        assert replay(run.folder)
    assert catalog.lineage(home.tracking_uri, "flight-delays", 1).version.run == "run-1"


def test_two_runs_that_register_the_same_model_at_once_get_one_version(
    model: Model, step_of: Callable[..., Home]
) -> None:
    home = step_of()
    tracking.import_mlflow()
    with multiprocessing.get_context("fork").Pool(3) as pool:
        made = pool.starmap(steps.register, [(model, "flight-delays")] * 3, chunksize=1)
    assert made == [("models:/flight-delays/1",)] * 3
    assert len(catalog.versions(home.tracking_uri, "flight-delays")) == 1


def test_a_name_in_use_by_another_kind_of_model_is_an_error(
    model: Model, step_of: Callable[..., Home], tmp_path: Path, save_model: Callable[..., Path]
) -> None:
    home = step_of()
    steps.register(model, "flight-delays")
    flowers = Model(uri=str(save_model(tmp_path / "flowers", ["sepal", "petal", "stem"])))
    with pytest.raises(UsageError) as caught:
        steps.register(flowers, "flight-delays")
    assert str(caught.value) == (
        "The name 'flight-delays' is in use by another kind of model: it takes 3 columns "
        "(sepal, petal, stem), of which they know 0 (they take hour, wind, distance).\n"
        "  at: models:/flight-delays/1\n"
        "  try: register under another name"
    )
    assert len(catalog.versions(home.tracking_uri, "flight-delays")) == 1


def test_a_model_that_somebody_registered_by_hand_is_compared_too(
    step_of: Callable[..., Home], model: Model, tmp_path: Path, save_model: Callable[..., Path]
) -> None:
    home = step_of()
    client = tracking.connect(home.tracking_uri)
    client.create_registered_model("by-hand")
    flowers = save_model(tmp_path / "flowers", ["sepal", "petal", "stem"])
    client.create_model_version("by-hand", str(flowers))
    with pytest.raises(UsageError, match="in use by another kind of model"):
        steps.register(model, "by-hand")


def test_a_name_in_use_by_a_prompt_is_an_error(step_of: Callable[..., Home], model: Model) -> None:
    import mlflow

    step_of()
    mlflow.genai.register_prompt("greeting", "Hello {{name}}")
    with pytest.raises(UsageError, match="The name 'greeting' is in use for a prompt"):
        steps.register(model, "greeting")


@pytest.mark.parametrize("name", ["", "  ", "a/b", "a:b", "it's", "a@b"])
def test_a_name_that_mlflow_cannot_keep_is_an_error(
    step_of: Callable[..., Home], model: Model, name: str
) -> None:
    step_of()
    with pytest.raises(UsageError, match="A registered model cannot be called"):
        steps.register(model, name)


def test_a_folder_that_is_no_model_is_an_error(
    step_of: Callable[..., Home], tmp_path: Path
) -> None:
    home = step_of()
    with pytest.raises(UsageError, match="it is not in MLflow's model format"):
        steps.register(Model(uri=str(tmp_path)), "flight-delays")
    assert catalog.models(home.tracking_uri) == []
