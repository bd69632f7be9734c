"""Before the first request: run the model on its own example; see whether rows may share calls."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from headrace.registry.loading import InputMismatch, LoadedModel, Table
from headrace.serving import params as parameters
from headrace.serving.calls import Call, split, stack
from headrace.serving.invocations import read_payload
from headrace.serving.refusal import Refusal

log = logging.getLogger("headrace.serving")

Batching = Literal["auto", "on", "off"]
ROUNDS = 3
PROBE_ROWS = 4


class ColdModel(RuntimeError):
    """The model raised on its own input example."""


def warm_up(model: LoadedModel, batching: Batching) -> bool:
    """Predict the input example a few times; whether requests may be predicted together.

    They may if the model's flavor predicts each row for itself and its example, where there is
    one, shows nothing else (a graph traced for one row, a softmax over the rows).

    Raises:
        ColdModel: The model fails on its example.
    """
    together = batching == "on" or (batching == "auto" and model.rowwise)
    call = _example_call(model)
    if call is None:
        return together
    try:
        for _ in range(ROUNDS):
            _predict(model, call)
    except InputMismatch as error:
        log.warning("The model refuses its own input example: %s", error)
        return together
    except Exception as error:
        raise ColdModel(f"The model fails on its own input example: {error!r}") from error
    if together and batching == "auto" and not _same_by_row(model, call):
        log.warning("The model's result for a row depends on other rows: no batching.")
        return False
    return together


def _example_call(model: LoadedModel) -> Call | None:
    if model.example is None:
        log.info("The model has no input example: no warm-up.")
        return None
    try:
        return read_payload(model.example, model.signature)
    except Refusal as refusal:
        log.warning("The model's input example does not fit its signature: %s", refusal)
        return None


def _predict(model: LoadedModel, call: Call) -> Any:
    chosen = parameters.merged(model.signature, call.params)
    return model.predict(call.data, chosen)


def _same_by_row(model: LoadedModel, example: Call) -> bool:
    rows = [
        Call(_rows(example.data, at, scale), 1, None, "probe")
        for scale in (1.0, 0.5)
        for at in range(min(example.rows, PROBE_ROWS))
    ]
    try:
        together = split(_predict(model, Call(stack(rows), len(rows))), rows)
        return together is not None and all(
            _alike(one, _predict(model, replace(row, params=None)))
            for one, row in zip(together, rows, strict=True)
        )
    except Exception as error:
        log.info("The model does not take the rows of its example together: %r", error)
        return False


def _rows(data: Any, at: int, scale: float) -> Any:
    """One row; a copy with smaller fractions shows what copies of one row cannot."""
    if isinstance(data, Table):
        return Table({name: [_scaled(col[at], scale)] for name, col in data.columns.items()})
    if isinstance(data, dict):
        return {name: _rows(array, at, scale) for name, array in data.items()}
    row = data[at : at + 1]
    return row * row.dtype.type(scale) if row.dtype.kind == "f" else row


def _scaled(value: Any, scale: float) -> Any:
    return value * scale if isinstance(value, float) else value


def _alike(one: Any, other: Any) -> bool:
    one, other = _values(one), _values(other)
    if len(one) != len(other):
        return False
    return all(
        np.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True)
        if a.dtype.kind == "f"
        else bool(np.array_equal(a, b))
        for a, b in zip(one, other, strict=True)
    )


def _values(result: Any) -> list[np.ndarray[Any, Any]]:
    match result:
        case Table():
            return [np.asarray(column) for column in result.columns.values()]
        case dict():
            return [np.asarray(value) for value in result.values()]
        case _ if hasattr(result, "columns"):
            return [np.asarray(result[name]) for name in result.columns]
        case _:
            return [np.asarray(result)]
