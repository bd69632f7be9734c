"""Events become names and values that MLflow takes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.states import State
from headrace.registry import entities
from headrace.registry.entities import DatasetUse


@pytest.mark.parametrize(
    ("name", "legal"),
    [
        ("auc", "auc"),
        ("train[0]/loss", "train/0/loss"),
        ("for-loop-1/0/train[2]", "for-loop-1/0/train/2"),
        ("précision@10", "pr_cision_10"),
        ("../../etc", "etc"),
        ("", "_"),
    ],
)
def test_names_are_made_legal(name: str, legal: str) -> None:
    assert entities.key(name) == legal


@pytest.mark.engine
@settings(deadline=None)
@given(st.text(max_size=400))
def test_any_name_is_made_one_that_mlflow_takes(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name

    _validate_metric_name(entities.key(name))
    _validate_param_name(entities.key(name))
    assert len(entities.key(name)) <= 250


def test_parameters_are_text_and_no_longer_than_mlflow_takes() -> None:
    values = {
        "epochs": 5,
        "rate": 0.1,
        "name": "a b",
        "on": True,
        "many": [1, 2],
        "long": "x" * 9000,
    }
    assert entities.parameters(values) == {
        "epochs": "5",
        "rate": "0.1",
        "name": "a b",
        "on": "true",
        "many": "[1, 2]",
        "long": "x" * 5999 + "…",
    }


def test_only_numbers_are_metrics() -> None:
    assert entities.metrics({"a": 1, "b": 0.5, "c": True, "d": "best", "e": None}) == {
        "a": 1.0,
        "b": 0.5,
        "c": 1.0,
    }


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.SUCCEEDED, "FINISHED"),
        (State.REUSED, "FINISHED"),
        (State.FAILED, "FAILED"),
        (State.CANCELLED, "KILLED"),
    ],
)
def test_each_final_state_has_a_status(state: State, status: str) -> None:
    assert entities.status(state) == status


def test_the_end_of_a_step_says_what_came_of_it() -> None:
    event = {
        "state": "failed",
        "attempt": 2,
        "reused_from": None,
        "error": {"what": "It broke.", "hint": "mend it"},
        "outputs": {
            "parameters": {"rows": 3},
            "artifacts": {"table": [{"uri": "/a/t", "digest": "sha256:1"}, {"uri": "/a/u"}]},
        },
    }
    assert entities.end_tags(event) == {
        "headrace.state": "failed",
        "headrace.attempts": "2",
        "headrace.error": "It broke.",
        "headrace.error_hint": "mend it",
        "headrace.output.rows": "3",
        "headrace.output.table": "/a/t sha256:1, /a/u",
    }


def test_the_end_of_a_run_says_what_its_pipeline_gave() -> None:
    event = {"state": "succeeded", "error": None, "outputs": {"version": "models:/m/1"}}
    assert entities.end_tags(event) == {
        "headrace.state": "succeeded",
        "headrace.output.version": "models:/m/1",
    }


def test_datasets_are_told_from_models_and_carry_their_digests() -> None:
    full = "sha256:" + "ab" * 32
    event = {
        "inputs": {
            "table": [
                {"type": "system.Dataset@0.0.1", "uri": "/t", "digest": full, "metadata": {"n": 1}}
            ],
            "model": [{"type": "system.Model", "uri": "/m", "digest": full}],
        }
    }
    assert entities.datasets(event, "inputs") == [
        DatasetUse(
            name="table",
            digest="ab" * 18,
            uri="/t",
            full_digest=full,
            context="input",
            profile='{"n": 1}',
        )
    ]
    assert entities.datasets(event, "outputs") == []


def test_a_dataset_without_a_digest_is_known_by_its_place() -> None:
    event = {"inputs": {"table": [{"type": "system.Dataset", "uri": "/t", "digest": None}]}}
    (use,) = entities.datasets(event, "inputs")
    assert (len(use.digest), use.full_digest) == (36, "")
