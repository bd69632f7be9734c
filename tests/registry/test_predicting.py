"""Whatever shape a model's answer has, it is read as the task means it, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headrace.core.errors import UsageError
from headrace.registry.predicting import as_prediction, check_model_folder
from headrace.registry.scores import Task

TWO = np.array([0.0, 1.0])
LOGITS = "its raw scores were turned into probabilities (logits assumed)"


@pytest.mark.parametrize(
    "answer",
    [
        np.array([0.2, 0.9]),
        np.array([[0.2], [0.9]], dtype=np.float32),
        np.array([[0.8, 0.2], [0.1, 0.9]]),
        pd.Series([0.2, 0.9]),
        pd.DataFrame({"anything": [0.2, 0.9]}),
        pd.DataFrame({"label": [0, 1], "probability": [0.2, 0.9]}),
        {"probability": np.array([0.2, 0.9]), "label": np.array([0, 1])},
        [0.2, 0.9],
    ],
)
def test_probabilities_of_two_outcomes_come_in_many_shapes(answer: Any) -> None:
    found = as_prediction(Task.BINARY, answer, TWO)
    assert found.scores == pytest.approx([0.2, 0.9])
    assert found.note == ""


@pytest.mark.parametrize("answer", [np.array([-2.0, 2.0]), np.array([[1.0, -1.0], [-1.0, 1.0]])])
def test_logits_become_probabilities_and_that_is_said(answer: Any) -> None:
    found = as_prediction(Task.BINARY, answer, TWO)
    assert found.scores == pytest.approx([0.119203, 0.880797], abs=1e-6)
    assert found.note == LOGITS


def test_bare_labels_are_said_to_be_labels() -> None:
    note = as_prediction(Task.BINARY, np.array([0, 1]), TWO).note
    assert note == "it gives labels, not probabilities, so auc says little"


def test_classes_are_named_by_the_answers_columns() -> None:
    truth = np.array(["b", "c"])
    answer = pd.DataFrame([[0.1, 0.7, 0.2], [0.1, 0.2, 0.7]], columns=["a", "b", "c"])
    found = as_prediction(Task.MULTICLASS, answer, truth)
    assert found.labels is not None
    assert found.labels.tolist() == ["b", "c"]


def test_classes_are_numbers_where_columns_have_no_names() -> None:
    found = as_prediction(Task.MULTICLASS, np.array([[0.1, 5.0, 0.2], [9.0, 2.0, 1.0]]), TWO)
    assert found.labels is not None
    assert found.labels.tolist() == [1.0, 0.0]
    assert found.note == LOGITS


def test_classes_are_those_of_the_target_where_the_count_agrees() -> None:
    found = as_prediction(
        Task.MULTICLASS, np.array([[0.1, 0.9], [0.6, 0.4]]), np.array(["no", "yes"])
    )
    assert found.labels is not None
    assert found.labels.tolist() == ["yes", "no"]


@pytest.mark.parametrize(
    ("task", "answer", "what"),
    [
        (Task.BINARY, np.array([0.1]), "The model gave 1 answers for 2 rows."),
        (Task.BINARY, np.array([0.1, np.nan]), "1 of the model's 2 answers are not finite"),
        (Task.BINARY, np.array(["yes", "no"]), "The model's answers are not numbers"),
        (Task.REGRESSION, np.ones((2, 3)), "must give one value a row, and it gives 3: 0, 1, 2."),
        (
            Task.MULTICLASS,
            pd.DataFrame(np.full((2, 3), 1 / 3), columns=["x", "y", "z"]),
            "tells 3 classes apart, and the target has 2",
        ),
    ],
)
def test_an_answer_that_fits_no_task_is_an_error(task: Task, answer: Any, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        as_prediction(task, answer, TWO)


def test_a_folder_that_is_no_model_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        check_model_folder(tmp_path)
    assert str(caught.value) == (
        "The model's folder has no file MLmodel: it is not in MLflow's model format.\n"
        f"  at: {tmp_path}\n"
        "  try: save it with mlflow.<flavor>.save_model(model, path=model.path), "
        "such as mlflow.sklearn or mlflow.pytorch"
    )


def test_a_model_saved_one_folder_too_deep_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "MLmodel").touch()
    with pytest.raises(UsageError) as caught:
        check_model_folder(tmp_path)
    assert caught.value.hint == "the model lies in inner/: save it to model.path itself"
