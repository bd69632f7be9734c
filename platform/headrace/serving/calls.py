"""What requests ask of the model, in the model's terms; several of them put together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, pairwise
from typing import Any

import numpy as np

from headrace.registry.loading import Table
from headrace.registry.signatures import Field, Signature
from headrace.serving.checks import as_array, check_column, check_shape, flatten
from headrace.serving.refusal import Refusal, kind_of, near, show

UNNAMED_INPUT = "input-{}"
UNNAMED_OUTPUT = "output-{}"


@dataclass(slots=True)
class Call:
    """One prediction to make; checked against the signature."""

    data: Any
    """A `Table`, an array, a dict of arrays, or plain values."""
    rows: int
    """How many rows it holds."""
    params: Mapping[str, Any] | None = None
    """Every parameter of the signature, defaults filled in; None if it has none."""
    key: Hashable = None
    """Calls with equal keys may share one call of the model; None stands alone."""


def input_name(signature: Signature, position: int) -> str:
    """What the inference protocol calls an input."""
    return signature.inputs[position].name or UNNAMED_INPUT.format(position)


def table_call(
    signature: Signature,
    columns: dict[str, list[Any]],
    params: Mapping[str, Any] | None = None,
    index: list[Any] | None = None,
) -> Call:
    """A call with a table, whose columns are checked and put in the signature's order.

    Raises:
        Refusal: A column is missing, unknown, of the wrong type, or longer than another.
    """
    checked: dict[Hashable, list[Any]] = (
        _named(signature, columns) if _has_names(signature) else _positional(signature, columns)
    )
    rows = _row_count({str(name): len(values) for name, values in checked.items()})
    if index is not None and len(index) != rows:
        raise Refusal(
            what="The index is not as long as the data.",
            field="index",
            expected=f"{rows} values",
            got=str(len(index)),
        )
    types: dict[Hashable, str] = {field.name: field.dtype for field in signature.inputs}
    # Gaps in text or booleans change what pandas makes of the whole column: not to be shared.
    gaps = any(
        None in values
        for name, values in checked.items()
        if types.get(name) in ("string", "boolean", "binary")
    )
    alone = index is not None or gaps or params is not None or not rows
    return Call(Table(checked, index), rows, params, None if alone else tuple(checked))


def _has_names(signature: Signature) -> bool:
    return signature.inputs[0].name is not None


def _named(signature: Signature, columns: Mapping[str, list[Any]]) -> dict[Hashable, list[Any]]:
    _check_names(signature, columns)
    return {
        field.name: check_column(columns[field.name], field)
        for field in signature.inputs
        if field.name is not None and field.name in columns
    }


def _positional(
    signature: Signature, columns: Mapping[str, list[Any]]
) -> dict[Hashable, list[Any]]:
    if len(columns) != len(signature.inputs):
        expected = f"{len(signature.inputs)} columns, in the signature's order"
        what = "The number of columns is wrong."
        raise Refusal(what=what, expected=expected, got=str(len(columns)))
    return {
        at: check_column(values, replace(field, name=str(name)))
        for at, (field, (name, values)) in enumerate(
            zip(signature.inputs, columns.items(), strict=True)
        )
    }


def _check_names(signature: Signature, columns: Mapping[str, Any]) -> None:
    known = {field.name for field in signature.inputs}
    names = sorted(name for name in known if name is not None)
    for name in columns:
        if name not in known:
            what = f"The model has no input {show(name)}."
            missing = [one for one in names if one not in columns]
            raise Refusal(what=what, field=name[:200], hint=near(name, missing or names))
    for field in signature.inputs:
        if field.required and field.name not in columns:
            what = f"Input {field.name!r} is missing."
            raise Refusal(
                what=what, field=field.name, expected=f"a column of type {field.dtype}", got="none"
            )


def _row_count(lengths: Mapping[str, int]) -> int:
    first, *others = lengths.items() or [("", 0)]
    for name, length in others:
        if length != first[1]:
            raise Refusal(
                what=f"Inputs {first[0]!r} and {name!r} differ in their number of rows.",
                field=name,
                expected=f"{first[1]} rows",
                got=str(length),
            )
    return first[1]


def tensor_call(
    signature: Signature, values: Mapping[str, Any], params: Mapping[str, Any] | None = None
) -> Call:
    """A call with arrays, made of nested lists by name (`input-0` for one without a name).

    Raises:
        Refusal: An array is missing, unknown, ragged, of the wrong type or shape.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    names = {input_name(signature, at): field for at, field in enumerate(signature.inputs)}
    for name in values:
        if name not in names:
            what = f"The model has no input {show(name)}."
            raise Refusal(what=what, field=name[:200], hint=near(name, names))
    for name, field in names.items():
        if name not in values:
            expected = f"a tensor of {field.dtype} {list(field.shape)}"
            raise Refusal(what=f"Input {name!r} is missing.", field=name, expected=expected)
        arrays[name] = tensor(values[name], field, name)
    by_row = all(field.shape and field.shape[0] == -1 for field in signature.inputs)
    rows = _row_count({name: len(array) for name, array in arrays.items()}) if by_row else 1
    alone = not by_row or params is not None or not rows
    key = None if alone else tuple((one.dtype.kind, one.shape[1:]) for one in arrays.values())
    return Call(arrays if _has_names(signature) else next(iter(arrays.values())), rows, params, key)


def tensor(values: Any, field: Field, name: str) -> np.ndarray[Any, Any]:
    """An array as the field wants it, from an array or nested lists."""
    if field.dtype == "object" and field.shape == (-1,) and isinstance(values, list):
        ragged = np.empty(len(values), dtype=object)
        ragged[:] = values
        return ragged
    array = values if isinstance(values, np.ndarray) else _array(values, field, name)
    check_shape(array.shape, field.shape, name)
    return array


def _array(values: Any, field: Field, name: str) -> np.ndarray[Any, Any]:
    if not isinstance(values, list):
        got = kind_of(values)
        raise Refusal(what=f"Input {name!r} is no list.", field=name, expected="a list", got=got)
    return as_array(values, np.dtype(field.dtype), name)


def stack(calls: Sequence[Call]) -> Any:
    """The data of calls with equal keys as one, row after row."""
    first = calls[0].data
    if len(calls) == 1:
        return first
    if isinstance(first, Table):
        return Table(
            {
                name: list(chain.from_iterable(call.data.columns[name] for call in calls))
                for name in first.columns
            }
        )
    if isinstance(first, dict):
        return {name: np.concatenate([call.data[name] for call in calls]) for name in first}
    return np.concatenate([call.data for call in calls])


def split(result: Any, calls: Sequence[Call]) -> list[Any] | None:
    """A result row by row back to the calls; None if it has not one entry for each row."""
    if len(calls) == 1:
        return [result]
    bounds = list(pairwise(accumulate((call.rows for call in calls), initial=0)))
    total = bounds[-1][1]
    match result:
        case Table():
            columns = result.columns
            if any(len(values) != total for values in columns.values()):
                return None
            return [Table({key: col[a:b] for key, col in columns.items()}) for a, b in bounds]
        case list() if len(result) == total:
            return [result[a:b] for a, b in bounds]
        case np.ndarray() if result.ndim and len(result) == total:
            return [result[a:b] for a, b in bounds]
        case dict():
            parts = {key: split(value, calls) for key, value in result.items()}
            if any(part is None for part in parts.values()):
                return None
            return [
                {key: part[at] for key, part in parts.items() if part is not None}
                for at in range(len(calls))
            ]
        case _ if hasattr(result, "iloc") and len(result) == total:
            return [result.iloc[a:b] for a, b in bounds]
        case _:
            return None


def plain_rows(values: Any, name: str) -> list[Any]:
    """A flat list, for a model that takes a list of plain values."""
    flat, shape = flatten(values, name)
    check_shape(shape, (-1,), name)
    return flat


def raw_call(data: Any, params: Mapping[str, Any] | None = None) -> Call:
    """A call whose data only the model itself can judge."""
    return Call(data, len(data) if isinstance(data, list) else 1, params)
