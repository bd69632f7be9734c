"""A model's lineage is walked back through its run's journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.registry.lineage import DatasetSource, Lineage, trace


@pytest.fixture
def flights(run: Any) -> Any:
    """The journal of a run in which a model was trained, measured, and something else happened."""
    raw = run.artifact("raw", "s3://lake/flights")
    table = run.artifact("table", "/art/table")
    other = run.artifact("other", "/art/other")
    model = run.artifact("model", "/art/model", "system.Model")
    run.start()
    run.done("import", outputs={"artifacts": {"artifact": [raw]}}, engine="importer")
    run.done(
        "features",
        "reused",
        inputs={"raw": [raw]},
        outputs={"artifacts": {"table": [table]}},
        reused_from="run-0",
    )
    run.done("unrelated", outputs={"artifacts": {"other": [other]}}, metrics={"auc": 0.1})
    run.done(
        "train",
        inputs={"table": [table]},
        outputs={"artifacts": {"model": [model]}},
        metrics={"loss": 0.4, "auc": 0.6},
    )
    run.done("evaluate", inputs={"model": [model], "data": [table]}, metrics={"auc": 0.7})
    run.step("register", inputs={"model": [model]})
    return run


@pytest.mark.parametrize("uri", ["/art/model", "file:///art/model"])
def test_a_model_leads_back_to_code_steps_data_and_figures(flights: Any, uri: str) -> None:
    digests = {name: flights.artifact(name, "")["digest"] for name in ("raw", "table")}
    assert trace(flights.folder, uri) == Lineage(
        run="run-1",
        pipeline="flights",
        source="pipelines/flights",
        code_digest="sha256:c0de",
        git={"commit": "abc123", "dirty": True, "branch": "main"},
        step="train",
        steps=("import", "features", "train"),
        reused={"features": "run-0"},
        datasets=(
            DatasetSource(
                name="raw", uri="s3://lake/flights", digest=digests["raw"], step="import"
            ),
            DatasetSource(name="table", uri="/art/table", digest=digests["table"], step="features"),
        ),
        metrics={"loss": 0.4, "auc": 0.7},
    )


def test_a_model_that_no_step_made_leads_back_to_the_run_alone(flights: Any) -> None:
    found = trace(flights.folder, "/elsewhere/model")
    assert (found.run, found.step, found.steps, found.datasets) == ("run-1", "", (), ())


def test_a_run_without_a_journal_leads_nowhere(tmp_path: Path) -> None:
    assert trace(tmp_path, "/art/model") == Lineage()


def test_steps_that_feed_each_other_in_a_circle_end_all_the_same(run: Any) -> None:
    a, b = run.artifact("a", "/a"), run.artifact("b", "/b")
    run.start()
    run.done("one", inputs={"x": [a]}, outputs={"artifacts": {"y": [b]}})
    run.done("two", inputs={"x": [b]}, outputs={"artifacts": {"y": [a]}})
    assert trace(run.folder, "/a").steps == ("one", "two")
