"""A model on held-out data, beside its baselines and the champion of the day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headrace.core.errors import HeadraceError, UsageError
from headrace.registry.catalog import find_alias
from headrace.registry.predicting import LoadedModel
from headrace.registry.scores import Prediction, Task, figures, is_probability
from headrace.registry.tables import read_table
from headrace.registry.tracking import as_default

CHAMPION = "champion"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Somebody who predicts: the model, a baseline, or the champion."""

    key: str
    """What its figures' names begin with; empty for the model itself."""
    label: str
    """What people call it."""
    prediction: Prediction
    """What it predicts."""
    figures: dict[str, float]
    """How well."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an evaluation found."""

    task: Task
    """What is predicted."""
    target: str
    """The column that holds the truth."""
    truth: NDArray[Any]
    """The truth, one value a row."""
    contenders: tuple[Contender, ...]
    """The model first, then the champion if one could be measured, then the baselines."""
    champion_version: int | None
    """The version that holds the alias now."""
    notes: tuple[str, ...]
    """What a reader of the figures must know."""

    @property
    def metrics(self) -> dict[str, float]:
        """All figures by name: `auc`, `champion.auc`, `carrier_rate.auc`, `champion.version`."""
        found: dict[str, float] = {}
        for one in self.contenders:
            prefix = f"{one.key}." if one.key else ""
            found |= {f"{prefix}{name}": value for name, value in one.figures.items()}
        if any(one.key == CHAMPION for one in self.contenders) and self.champion_version:
            found[f"{CHAMPION}.version"] = float(self.champion_version)
        return found


def evaluate_model(
    model: Path,
    data: Path,
    *,
    target: str,
    task: Task,
    baselines: Sequence[str] = (),
    name: str = "",
    alias: str = CHAMPION,
    tracking_uri: str = "",
) -> Evaluation:
    """Measure a model, its baselines and the champion on the same rows.

    Args:
        model: Folder in MLflow's model format.
        data: Held-out rows, parquet or CSV, file or folder.
        target: Column that holds the truth.
        task: What is predicted.
        baselines: Columns of the data that hold somebody else's predictions.
        name: Registered model whose champion is measured too; empty for none.
        alias: The alias that the champion holds.
        tracking_uri: Where the registry is.

    Raises:
        UsageError: A column is missing, or holds what the task cannot use; not a model.
    """
    table = read_table(data, needed=[target, *baselines])
    table, notes = _labelled(table, target)
    truth = _truth(table, target, task)
    features = table.drop(columns=[target, *baselines])
    contenders = [_measure(LoadedModel(str(model)), "", "model", task, features, truth)]
    version = find_alias(tracking_uri, name, alias) if name else None
    if version is not None:
        # Whatever is wrong with the champion, it must not stop its successor.
        try:
            with as_default(tracking_uri):
                champion = LoadedModel(f"models:/{name}/{version}")
            contenders.append(
                _measure(champion, CHAMPION, f"{alias} (version {version})", task, features, truth)
            )
        except Exception as error:
            notes.append(
                f"The {alias}, version {version} of {name}, could not be measured on this data: "
                f"{_first_line(error)}"
            )
    for column in baselines:
        prediction = _baseline(table[column], column, task, truth)
        contenders.append(_contender(column, f"baseline {column}", prediction, task, truth))
    notes += [f"{one.label}: {one.prediction.note}." for one in contenders if one.prediction.note]
    return Evaluation(
        task=task,
        target=target,
        truth=truth,
        contenders=tuple(contenders),
        champion_version=version,
        notes=tuple(notes),
    )


def _measure(
    model: LoadedModel,
    key: str,
    label: str,
    task: Task,
    features: pd.DataFrame,
    truth: NDArray[Any],
) -> Contender:
    return _contender(key, label, model.predict(task, features, truth), task, truth)


def _contender(
    key: str, label: str, prediction: Prediction, task: Task, truth: NDArray[Any]
) -> Contender:
    return Contender(
        key=key, label=label, prediction=prediction, figures=figures(task, truth, prediction)
    )


def _labelled(table: pd.DataFrame, target: str) -> tuple[pd.DataFrame, list[str]]:
    known = table[target].notna()
    if known.all():
        return table, []
    if not known.any():
        raise UsageError(f"The target {target!r} is empty in every row.")
    left_out = int((~known).sum())
    return table[known], [f"{left_out} of {len(table)} rows have no {target} and were left out."]


def _truth(table: pd.DataFrame, target: str, task: Task) -> NDArray[Any]:
    column = table[target]
    if task is Task.MULTICLASS:
        return np.asarray(column.to_numpy())
    try:
        truth = column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The target {target!r} does not hold numbers, which the task {task} needs: {error}.",
            hint="make it 0 and 1, or evaluate with task='multiclass'",
        ) from error
    if task is Task.REGRESSION:
        return truth
    found = sorted(set(truth.tolist()))
    if found == [0.0, 1.0]:
        return truth
    shown = ", ".join(f"{one:g}" for one in found[:5]) + (", ..." if len(found) > 5 else "")
    raise UsageError(
        f"The target {target!r} must hold 0 and 1, both of them, and holds {shown}.",
        hint="choose rows that hold both outcomes"
        if set(found) <= {0.0, 1.0}
        else "choose task='multiclass' or task='regression'",
    )


def _baseline(column: pd.Series[Any], name: str, task: Task, truth: NDArray[Any]) -> Prediction:
    missing = int(column.isna().sum())
    if missing:
        raise UsageError(
            f"The baseline {name!r} says nothing for {missing} of {len(column)} rows.",
            hint="fill it, with the overall rate for example: all are measured on the same rows",
        )
    if task is Task.MULTICLASS:
        return Prediction(labels=column.to_numpy().astype(truth.dtype))
    try:
        values = column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The baseline {name!r} does not hold numbers: {error}.") from error
    if task is Task.REGRESSION:
        return Prediction(values=values)
    note = "" if is_probability(values) else "not probabilities, so only its ranking is measured"
    return Prediction(scores=values, note=note)


def _first_line(error: Exception) -> str:
    text = error.what if isinstance(error, HeadraceError) else str(error)
    return text.strip().splitlines()[0][:300] if text.strip() else type(error).__name__
