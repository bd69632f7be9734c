"""CSV bodies of MLflow's `/invocations`."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from headrace.registry.signatures import NUMPY_TYPES, Kind, Signature
from headrace.serving.calls import Call
from headrace.serving.invocations import from_columns, wrong
from headrace.serving.refusal import Refusal, show

# What pandas reads as missing, as far as people write it.
MISSING = frozenset({"", "NaN", "nan", "NA", "N/A", "null", "None", "NULL", "#N/A", "<NA>"})


def read_csv(body: bytes, signature: Signature) -> Call:
    """A CSV body with a header line; cells are read as the signature's types.

    Raises:
        Refusal: Not UTF-8, a line of the wrong length, a cell that is not of its type.
    """
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refusal(what=f"The body is no CSV: {error}.") from None
    lines = [line for line in lines if line]
    if not lines:
        raise Refusal(what="The CSV is empty.", expected="a header line with the columns' names")
    names, *rows = lines
    if len(set(names)) != len(names):
        raise wrong("header", "names that differ", names)
    for at, row in enumerate(rows):
        if len(row) != len(names):
            raise wrong(f"line {at + 2}", f"{len(names)} cells", row)
    if signature.kind is Kind.HINTED:
        what = "The model takes plain values."
        raise Refusal(what=what, expected="JSON with `inputs`", got="CSV")
    cells = zip(*rows, strict=True) if rows else ([] for _ in names)
    columns = {
        name: [_cell(text, dtype, name, row) for row, text in enumerate(texts)]
        for name, dtype, texts in zip(names, _dtypes(names, signature), cells, strict=True)
    }
    return from_columns(columns, signature, None)


def _dtypes(names: list[str], signature: Signature) -> list[str]:
    """The type of each column; "" where the signature says nothing."""
    fields = signature.inputs
    if fields and fields[0].name is None:
        # One tensor spreads over all columns; columns without names come in order.
        return [
            fields[0 if len(fields) == 1 else min(at, len(fields) - 1)].dtype
            for at in range(len(names))
        ]
    by_name = {field.name: field.dtype for field in fields}
    return [by_name.get(name, "") for name in names]


def _cell(text: str, dtype: str, name: str, row: int) -> Any:
    if text in MISSING:
        return None
    try:
        return _READERS[_kind(dtype)](text)
    except (ValueError, KeyError, OverflowError):
        what = f"Column {show(name)}, row {row}, has a cell of the wrong type."
        raise Refusal(what=what, field=name[:200], expected=dtype, got=show(text)) from None


def _kind(dtype: str) -> str:
    """One letter for how a type's cells are read; "" for text, "?" for guessing."""
    if not dtype:
        return "?"
    if dtype in NUMPY_TYPES:
        return NUMPY_TYPES[dtype].kind
    return np.dtype(dtype).kind if dtype in np.sctypeDict else ""


def _integer(text: str) -> int | float:
    return int(text) if text.strip().lstrip("+-").isdigit() else float(text)


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.strip().lower()]


def _guess(text: str) -> Any:
    try:
        return _integer(text)
    except ValueError:
        return text


_READERS: dict[str, Callable[[str], Any]] = defaultdict(
    lambda: str, {"i": _integer, "u": _integer, "f": float, "b": _boolean, "?": _guess}
)
