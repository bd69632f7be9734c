"""A model's answers, in whatever shape its flavor gives them, as the prediction of a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headrace.core.errors import UsageError, did_you_mean
from headrace.registry.scores import Floats, Prediction, Task, is_probability

_MODEL_FILE = "MLmodel"
_ANSWER_COLUMNS = ("probability", "score", "prediction", "predictions")
_LOGITS = "its raw scores were turned into probabilities (logits assumed)"


class LoadedModel:
    """A model opened for evaluation.

    Args:
        source: A folder in MLflow's model format, or a `models:/` URI.

    Raises:
        UsageError: The folder is not an MLflow model.
    """

    def __init__(self, source: str) -> None:
        import mlflow.pyfunc

        if not source.startswith("models:"):
            check_model_folder(Path(source))
        self._model = mlflow.pyfunc.load_model(source, suppress_warnings=True)
        signature = self._model.metadata.signature
        self._inputs = signature.inputs if signature is not None else None

    @property
    def columns(self) -> list[str] | None:
        """Names of the columns that the model takes; None when it does not say."""
        if self._inputs is None or not self._inputs.has_input_names():
            return None
        return [str(name) for name in self._inputs.input_names()]

    @property
    def required(self) -> list[str]:
        """Those of `columns` that must be there."""
        if self._inputs is None or not self._inputs.has_input_names():
            return []
        return [str(name) for name in self._inputs.required_input_names()]

    def predict(self, task: Task, rows: pd.DataFrame, truth: NDArray[Any]) -> Prediction:
        """Its prediction for `rows`, of which it sees the columns that it takes.

        Args:
            task: What its answers mean.
            rows: The rows.
            truth: The target, for the classes that there are.

        Raises:
            UsageError: The answers do not fit the task.
        """
        missing = sorted(set(self.required) - set(rows.columns))
        if missing:
            raise UsageError(
                f"The data has no column {', '.join(map(repr, missing))}, which the model takes.",
                hint=did_you_mean(missing[0], [str(name) for name in rows.columns]),
            )
        if self.columns is not None:
            rows = rows[[one for one in self.columns if one in rows]]
        probabilities = self._class_probabilities(task, rows)
        answer = self._model.predict(self._as_input(rows)) if probabilities is None else None
        return as_prediction(task, answer if probabilities is None else probabilities, truth)

    def _as_input(self, rows: pd.DataFrame) -> Any:
        if self._inputs is None or not self._inputs.is_tensor_spec() or self.columns:
            return rows
        (spec,) = self._inputs.inputs
        values = rows.to_numpy()
        if values.shape[1] == 1 and values.dtype == object:  # a column of arrays
            values = np.stack([np.asarray(one) for one in values[:, 0]])
        return values.astype(spec.type).reshape((-1, *spec.shape[1:]))

    def _class_probabilities(self, task: Task, rows: pd.DataFrame) -> pd.DataFrame | None:
        """Where the answer would be bare labels, the probabilities behind them."""
        flavor = self._model.metadata.flavors["python_function"]
        plain = flavor.get("predict_fn", "predict") == "predict"
        if task is Task.REGRESSION or flavor["loader_module"] != "mlflow.sklearn" or not plain:
            return None
        raw = self._model.get_raw_model()
        if not hasattr(raw, "predict_proba"):
            return None
        return pd.DataFrame(raw.predict_proba(self._as_input(rows)), columns=raw.classes_)


def check_model_folder(folder: Path) -> None:
    """See that `folder` holds a model in MLflow's format.

    Raises:
        UsageError: It does not.
    """
    if (folder / _MODEL_FILE).is_file():
        return
    inside = [file.parent for file in folder.glob(f"*/{_MODEL_FILE}")] if folder.is_dir() else []
    raise UsageError(
        f"The model's folder has no file {_MODEL_FILE}: it is not in MLflow's model format.",
        where=str(folder),
        hint=f"the model lies in {inside[0].name}/: save it to model.path itself"
        if inside
        else "save it with mlflow.<flavor>.save_model(model, path=model.path), "
        "such as mlflow.sklearn or mlflow.pytorch",
    )


def as_prediction(task: Task, answer: Any, truth: NDArray[Any]) -> Prediction:
    """What a model's `answer` predicts.

    Raises:
        UsageError: Its shape or values do not fit the task or the number of rows.
    """
    table = _as_table(answer)
    if len(table) != len(truth):
        raise UsageError(f"The model gave {len(table)} answers for {len(truth)} rows.")
    match task:
        case Task.BINARY:
            return _binary(table)
        case Task.MULTICLASS:
            return _multiclass(table, truth)
        case Task.REGRESSION:
            return Prediction(values=_finite(_single(table, task).to_numpy()))


def _as_table(answer: Any) -> pd.DataFrame:
    if isinstance(answer, pd.DataFrame):
        return answer
    if isinstance(answer, pd.Series):
        return answer.to_frame()
    if isinstance(answer, dict):
        return pd.DataFrame({name: list(np.asarray(one)) for name, one in answer.items()})
    array = np.asarray(answer)
    return pd.DataFrame(array.reshape(len(array), -1) if array.ndim != 1 else array)


def _single(table: pd.DataFrame, task: Task) -> pd.Series[Any]:
    if table.shape[1] == 1:
        return table.iloc[:, 0]
    for name in _ANSWER_COLUMNS:
        if name in table.columns:
            return table[name]
    raise UsageError(
        f"For the task {task} the model must give one value a row, and it gives "
        f"{table.shape[1]}: {', '.join(map(str, table.columns[:8]))}.",
        hint=f"name one of them {_ANSWER_COLUMNS[0]!r}, or choose another task",
    )


def _binary(table: pd.DataFrame) -> Prediction:
    if table.shape[1] == 2 and not set(_ANSWER_COLUMNS) & set(table.columns):
        pair = _finite(table.to_numpy())
        if is_probability(pair.ravel()):
            return Prediction(scores=pair[:, 1])
        return Prediction(scores=_sigmoid(pair[:, 1] - pair[:, 0]), note=_LOGITS)
    scores = _finite(_single(table, Task.BINARY).to_numpy())
    if is_probability(scores):
        only_labels = bool(np.isin(scores, (0.0, 1.0)).all())
        note = "it gives labels, not probabilities, so auc says little" if only_labels else ""
        return Prediction(scores=scores, note=note)
    return Prediction(scores=_sigmoid(scores), note=_LOGITS)


def _multiclass(table: pd.DataFrame, truth: NDArray[Any]) -> Prediction:
    if table.shape[1] == 1:
        return Prediction(labels=table.iloc[:, 0].to_numpy().astype(truth.dtype))
    raw = _finite(table.to_numpy())
    note = ""
    if not (is_probability(raw.ravel()) and np.allclose(raw.sum(axis=1), 1.0, atol=1e-3)):
        raw, note = _softmax(raw), _LOGITS
    classes = _classes(table, truth)
    return Prediction(
        labels=classes[raw.argmax(axis=1)], probabilities=raw, classes=classes, note=note
    )


def _classes(table: pd.DataFrame, truth: NDArray[Any]) -> NDArray[Any]:
    """What the columns of a model's answer stand for."""
    names = table.columns.to_numpy()
    known = np.unique(truth)
    if set(known.tolist()) <= set(names.tolist()):
        return names.astype(truth.dtype)
    if set(map(str, known.tolist())) <= set(map(str, names.tolist())):
        return names.astype(str).astype(truth.dtype)
    if len(known) == len(names):
        return known
    raise UsageError(
        f"The model tells {len(names)} classes apart, and the target has {len(known)}, "
        f"under other names.",
        hint="give the answer's columns the names of the classes",
    )


def _finite(values: NDArray[Any]) -> Floats:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The model's answers are not numbers: {error}.") from error
    bad = int((~np.isfinite(numbers)).sum())
    if bad:
        raise UsageError(
            f"{bad} of the model's {numbers.size} answers are not finite numbers.",
            hint="look for missing values in the data or a training that diverged",
        )
    return numbers


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)), dtype=np.float64)


def _softmax(values: Floats) -> Floats:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)
