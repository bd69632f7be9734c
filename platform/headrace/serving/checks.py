"""JSON values checked against a type, and turned into it without loss.

Only what can be read one way is taken: no number from a string, no integer from 3.7, no
boolean from 1. `null` is a missing value where the type has one (NaN, NaT, None).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np

from headrace.registry.signatures import NUMPY_TYPES, Field
from headrace.serving.refusal import Refusal, kind_of

Array = np.ndarray[Any, Any]
NoneType = type(None)

DEEPEST = 32
MOMENT = re.compile(r"(\d{4})-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?")
# Years that nanoseconds since 1970 in 64 bits reach in full.
FIRST_YEAR, LAST_YEAR = 1678, 2261

_ALLOWED: dict[str, frozenset[type]] = {
    "f": frozenset({float, int, NoneType}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "b": frozenset({bool}),
}
_WORDS = {"f": "numbers", "i": "integers", "u": "integers from 0", "b": "true or false"}


def check_column(values: list[Any], field: Field) -> list[Any]:
    """A column's values, each of the field's type; moments and bytes decoded.

    Raises:
        Refusal: Names the column, the row and the value.
    """
    target = NUMPY_TYPES.get(field.dtype)
    if target is not None and target.kind != "M":
        if field.dtype == "boolean" and not field.required and None in values:
            check_numbers([one for one in values if one is not None], target, field.name)
            return values
        return check_numbers(values, target, field.name)
    if field.nested:
        return values
    if not {str, NoneType}.issuperset(map(type, values)):
        raise _wrong(values, {str, NoneType}, "strings", field.name)
    if field.dtype == "datetime":
        return [_moment(value, row, field.name) for row, value in enumerate(values)]
    if field.dtype == "binary":
        return [_bytes(value, row, field.name) for row, value in enumerate(values)]
    return values


def check_numbers(values: list[Any], target: np.dtype[Any], name: str | None) -> list[Any]:
    """The same values if a number type holds each of them without loss (NaN for null)."""
    kind = target.kind
    allowed = _ALLOWED[kind]
    if not allowed.issuperset(map(type, values)):
        if kind not in "iu" or not {int, float}.issuperset(map(type, values)):
            raise _wrong(values, allowed, _WORDS[kind], name)
        values = [_whole(value, row, name) for row, value in enumerate(values)]
    if kind in "iu" and values:
        least, most = np.iinfo(target).min, np.iinfo(target).max
        if min(values) < least or max(values) > most:
            row = next(row for row, value in enumerate(values) if not least <= value <= most)
            raise _at(name, row, f"{target} ({least} to {most})", values[row])
    elif target.itemsize < 8 and kind == "f":
        _check_range(values, target, name)
    return values


def _check_range(values: list[Any], target: np.dtype[Any], name: str | None) -> None:
    most = float(np.finfo(target).max)
    for row, value in enumerate(values):
        # An infinity that was sent as one is meant; NaN compares false.
        if value is not None and most < abs(value) < float("inf"):
            raise _at(name, row, f"{target} (up to {most:.4g})", value)


def as_array(values: Any, target: np.dtype[Any], name: str | None) -> Array:
    """Nested lists as an array of exactly this type; the nesting gives its shape.

    Raises:
        Refusal: Ragged lists, or an element that the type does not hold.
    """
    flat, shape = flatten(values, name)
    match target.kind:
        case "f" | "i" | "u" | "b":
            return np.array(check_numbers(flat, target, name), dtype=target).reshape(shape)
        case "U" | "S" | "O":
            return _as_texts(flat, target, name).reshape(shape)
        case "M":
            moments = [_moment(value, row, name) for row, value in enumerate(flat)]
            return np.array(moments, dtype=target).reshape(shape)
        case _:
            what = f"{_input(name)} is of type {target}, which JSON cannot carry."
            raise Refusal(what=what, field=name)


def _as_texts(flat: list[Any], target: np.dtype[Any], name: str | None) -> Array:
    if target.kind != "O" and not {str}.issuperset(map(type, flat)):
        raise _wrong(flat, {str}, "strings", name)
    if target.kind == "S":
        return np.array([text.encode("utf-8", "surrogatepass") for text in flat], dtype=np.bytes_)
    if target.kind == "U":
        return np.array(flat, dtype=np.str_)
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array


def flatten(values: Any, name: str | None) -> tuple[list[Any], tuple[int, ...]]:
    """The elements of nested lists, and the shape of the nesting."""
    if type(values) is not list:
        return [values], ()
    shape = [len(values)]
    while values and list in set(map(type, values)):
        if set(map(type, values)) != {list} or len(lengths := set(map(len, values))) > 1:
            what = f"{_input(name)} is ragged: at depth {len(shape)} its lists differ in length."
            raise Refusal(what=what, field=name, hint="Every list at one depth has one length.")
        shape.append(lengths.pop())
        if len(shape) > DEEPEST:
            raise Refusal(what=f"{_input(name)} is nested deeper than {DEEPEST}.", field=name)
        values = list(chain.from_iterable(values))
    return values, tuple(shape)


def check_shape(shape: tuple[int, ...], expected: tuple[int, ...], name: str | None) -> None:
    """Raises Refusal unless the lengths are those expected, -1 standing for any."""
    same = len(shape) == len(expected)
    if not same or any(b not in (-1, a) for a, b in zip(shape, expected, strict=True)):
        what = f"{_input(name)} has the wrong shape."
        raise Refusal(what=what, field=name, expected=str(list(expected)), got=str(list(shape)))


def _input(name: str | None) -> str:
    return "The input" if name is None else f"Input {name!r}"


def _wrong(values: list[Any], allowed: Iterable[type], words: str, name: str | None) -> Refusal:
    allowed = set(allowed)
    row = next(row for row, value in enumerate(values) if type(value) not in allowed)
    return _at(name, row, words, values[row])


def _at(name: str | None, row: int, expected: str, value: Any) -> Refusal:
    what = f"{_input(name)}, position {row}, has a value of the wrong type or size."
    return Refusal(what=what, field=name, expected=expected, got=kind_of(value))


def _whole(value: float, row: int, name: str | None) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise _at(name, row, "integers", value)
    return int(value)


def _moment(value: Any, row: int, name: str | None) -> np.datetime64:
    if value is None:
        return np.datetime64("NaT", "ns")
    match = MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match and FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        try:
            return np.datetime64(value, "ns")
        except ValueError:
            pass
    raise _at(name, row, "a time as '2013-01-31T05:15:00', without a zone", value)


def _bytes(value: Any, row: int, name: str | None) -> bytes | None:
    if value is None:
        return None
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _at(name, row, "base64", value) from None
