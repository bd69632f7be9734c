"""Figures of predictions, checked by hand and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import UsageError
from headrace.registry.scores import Prediction, Task, calibration, figures, parse_task, task_of

pytestmark = pytest.mark.engine


def rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in found.items()}


def test_binary_figures_by_hand() -> None:
    truth = np.array([0.0, 0.0, 1.0, 1.0])
    scores = np.array([0.1, 0.4, 0.35, 0.8])
    assert rounded(figures(Task.BINARY, truth, Prediction(scores=scores))) == {
        "auc": 0.75,
        "average_precision": 0.833333,
        "brier": 0.158125,
        "log_loss": 0.472288,
        "ece": round((0.1 + 0.4 + 0.65 + 0.2) / 4, 6),
    }


def test_scores_that_are_no_probabilities_only_rank() -> None:
    truth = np.array([0.0, 1.0, 1.0])
    found = figures(Task.BINARY, truth, Prediction(scores=np.array([-3.0, 1.0, 20.0])))
    assert found == {"auc": 1.0, "average_precision": 1.0}


def test_certain_and_wrong_is_costly_and_finite() -> None:
    truth, scores = np.array([0.0, 1.0]), np.array([1.0, 0.0])
    found = figures(Task.BINARY, truth, Prediction(scores=scores))
    assert found["log_loss"] == pytest.approx(-math.log(1e-15), rel=1e-4)
    assert found["ece"] == 1.0


def test_multiclass_figures_by_hand() -> None:
    truth = np.array(["a", "b", "c", "c"])
    labels = np.array(["a", "b", "a", "c"])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8]])
    classes = np.array(["a", "b", "c"])
    prediction = Prediction(labels=labels, probabilities=probabilities, classes=classes)
    assert rounded(figures(Task.MULTICLASS, truth, prediction)) == {
        "accuracy": 0.75,
        "macro_f1": round((2 / 3 + 1 + 2 / 3) / 3, 6),
        "log_loss": round(-(2 * math.log(0.8) + math.log(0.5) + math.log(0.2)) / 4, 6),
    }


def test_labels_alone_have_no_log_loss() -> None:
    labels = np.array([1, 2])
    found = figures(Task.MULTICLASS, labels, Prediction(labels=labels))
    assert found == {"accuracy": 1.0, "macro_f1": 1.0}


def test_regression_figures_by_hand() -> None:
    truth, values = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0])
    assert rounded(figures(Task.REGRESSION, truth, Prediction(values=values))) == {
        "rmse": round(math.sqrt(3), 6),
        "mae": 1.0,
        "r2": -3.5,
    }


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=4).filter(
        lambda rows: len({truth for truth, _ in rows}) == 2
    )
)
def test_binary_figures_agree_with_scikit_learn(rows: list[tuple[bool, float]]) -> None:
    from sklearn.metrics import brier_score_loss, log_loss

    truth = np.array([float(one) for one, _ in rows])
    scores = np.array([one for _, one in rows])
    found = figures(Task.BINARY, truth, Prediction(scores=scores))
    safe = np.clip(scores, 1e-15, 1 - 1e-15)
    assert found["brier"] == pytest.approx(brier_score_loss(truth, scores))
    assert found["log_loss"] == pytest.approx(log_loss(truth, safe))
    assert 0.0 <= found["ece"] <= 1.0
    _, _, count = calibration(truth, scores)
    assert count.sum() == len(rows)


@pytest.mark.parametrize(
    ("names", "task"),
    [
        ({"auc": 1.0, "loss": 1.0}, Task.BINARY),
        ({"accuracy": 1.0, "macro_f1": 1.0}, Task.MULTICLASS),
        ({"rmse": 1.0}, Task.REGRESSION),
        ({"loss": 1.0, "accuracy": 1.0}, None),
    ],
)
def test_the_names_of_figures_tell_the_task(names: dict[str, float], task: Task | None) -> None:
    assert task_of(names) is task


def test_an_unknown_task_is_an_error_that_names_near_misses() -> None:
    with pytest.raises(UsageError) as caught:
        parse_task("regresion")
    assert caught.value.hint == "Did you mean 'regression'?"
