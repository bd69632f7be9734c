"""Figures of predictions against the truth, for the three tasks. Needs numpy and scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import UsageError, did_you_mean

Floats = NDArray[np.float64]
_CALIBRATION_BINS = 10
_SMALLEST = 1e-15
LOWER_IS_BETTER = frozenset({"brier", "log_loss", "ece", "rmse", "mae"})


class Task(StrEnum):
    """What a model predicts."""

    BINARY = "binary"
    """The probability of one of two outcomes."""
    MULTICLASS = "multiclass"
    """One of several classes."""
    REGRESSION = "regression"
    """A number."""


_MARKS = {
    Task.BINARY: {"auc", "average_precision"},
    Task.MULTICLASS: {"macro_f1"},
    Task.REGRESSION: {"rmse", "mae", "r2"},
}


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What somebody predicts for each row: probabilities, labels or values, as the task has it."""

    scores: Floats | None = None
    """Binary: the probability of the positive outcome, or any score that ranks."""
    labels: NDArray[Any] | None = None
    """Multiclass: the predicted class."""
    probabilities: Floats | None = None
    """Multiclass: a column per class, where they are known."""
    classes: NDArray[Any] | None = None
    """Multiclass: what the columns of `probabilities` stand for."""
    values: Floats | None = None
    """Regression: the predicted value."""
    note: str = ""
    """Something that a reader of the figures must know."""


def parse_task(task: str) -> Task:
    """The task of that name.

    Raises:
        UsageError: There is no such task.
    """
    try:
        return Task(task)
    except ValueError:
        raise UsageError(
            f"There is no task {task!r} to evaluate.",
            hint=did_you_mean(task, [str(one) for one in Task]),
        ) from None


def task_of(figures: Mapping[str, float]) -> Task | None:
    """The task that figures of these names belong to, where they tell."""
    return next((task for task, marks in _MARKS.items() if marks & figures.keys()), None)


def figures(task: Task, truth: NDArray[Any], prediction: Prediction) -> dict[str, float]:
    """The figures of a prediction.

    Binary: auc, average_precision, and for probabilities brier, log_loss and ece (expected
    calibration error over ten bins of equal width). Multiclass: accuracy, macro_f1 and, with
    probabilities, log_loss. Regression: rmse, mae, r2, in the target's units.
    """
    match task:
        case Task.BINARY:
            assert prediction.scores is not None
            return _binary(truth, prediction.scores)
        case Task.MULTICLASS:
            return _multiclass(truth, prediction)
        case Task.REGRESSION:
            assert prediction.values is not None
            return _regression(truth, prediction.values)


def is_probability(scores: Floats) -> bool:
    """Whether all scores lie between 0 and 1."""
    return bool(len(scores) and scores.min() >= 0.0 and scores.max() <= 1.0)


def calibration(truth: NDArray[Any], scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean score, observed rate and number of rows per bin of equal width; empty bins left out."""
    bins = np.minimum((scores * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1)
    count = np.bincount(bins, minlength=_CALIBRATION_BINS).astype(float)
    some = count > 0
    mean = np.bincount(bins, scores, _CALIBRATION_BINS)[some] / count[some]
    rate = np.bincount(bins, truth.astype(float), _CALIBRATION_BINS)[some] / count[some]
    return mean, rate, count[some]


def _binary(truth: NDArray[Any], scores: Floats) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    found = {
        "auc": float(roc_auc_score(truth, scores)),
        "average_precision": float(average_precision_score(truth, scores)),
    }
    if is_probability(scores):
        safe = np.clip(scores, _SMALLEST, 1 - _SMALLEST)
        mean, rate, count = calibration(truth, scores)
        found |= {
            "brier": float(np.mean((scores - truth) ** 2)),
            "log_loss": float(-np.mean(np.where(truth == 1, np.log(safe), np.log1p(-safe)))),
            "ece": float(np.sum(np.abs(mean - rate) * count) / count.sum()),
        }
    return found


def _multiclass(truth: NDArray[Any], prediction: Prediction) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, f1_score

    found = {
        "accuracy": float(accuracy_score(truth, prediction.labels)),
        "macro_f1": float(f1_score(truth, prediction.labels, average="macro", zero_division=0.0)),
    }
    probabilities, classes = prediction.probabilities, prediction.classes
    if probabilities is not None and classes is not None and set(truth) <= set(classes.tolist()):
        column = {name: index for index, name in enumerate(classes.tolist())}
        chosen = probabilities[np.arange(len(truth)), [column[one] for one in truth.tolist()]]
        found["log_loss"] = float(-np.mean(np.log(np.clip(chosen, _SMALLEST, 1.0))))
    return found


def _regression(truth: NDArray[Any], values: Floats) -> dict[str, float]:
    error = values - truth.astype(float)
    spread = float(np.sum((truth - np.mean(truth)) ** 2))
    return {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "r2": float(1 - np.sum(error**2) / spread) if spread else float("nan"),
    }
