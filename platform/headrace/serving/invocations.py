"""MLflow's `/invocations`: its four JSON forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headrace.registry.loading import Table
from headrace.registry.signatures import Field, Kind, Signature
from headrace.serving import params as parameters
from headrace.serving.bodies import read_object
from headrace.serving.calls import Call, input_name, raw_call, table_call, tensor, tensor_call
from headrace.serving.checks import flatten
from headrace.serving.refusal import Refusal, kind_of, near, show

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def read_invocation(body: bytes, signature: Signature) -> Call:
    """Parse and check a JSON body of `/invocations`.

    Raises:
        Refusal: What is wrong, and where.
    """
    return read_payload(read_object(body), signature)


def read_payload(told: Mapping[str, Any], signature: Signature) -> Call:
    """The same for a payload that is decoded already, such as an input example."""
    forms = [key for key in told if key in FORMS]
    for key in told:
        if key not in FORMS and key != "params":
            what = f"The body has an unknown key {show(key)}."
            raise Refusal(what=what, field=key[:200], hint=near(key, [*FORMS, "params"]))
    if len(forms) != 1:
        expected = f"exactly one of {', '.join(FORMS)}"
        got = ", ".join(forms) or "none of them"
        raise Refusal(
            what="The body must say in which form data comes.", expected=expected, got=got
        )
    chosen = parameters.complete(signature, told.get("params"))
    form, data = forms[0], told[forms[0]]
    if signature.kind is Kind.HINTED:
        if form != "inputs":
            raise Refusal(what="The model takes plain values.", field=form, expected="`inputs`")
        return raw_call(data, chosen)
    match form:
        case "dataframe_split":
            columns, index = _split(data, signature)
            return from_columns(columns, signature, chosen, index)
        case "dataframe_records":
            return from_columns(_records(data, form, signature), signature, chosen)
        case _:
            return _from_values(data, form, signature, chosen)


def _split(data: Any, signature: Signature) -> tuple[dict[str, list[Any]], list[Any] | None]:
    form = "dataframe_split"
    if type(data) is not dict:
        raise wrong(form, "an object with columns and data", data)
    for key in data:
        if key not in ("columns", "data", "index"):
            hint = near(key, ("columns", "data", "index"))
            raise Refusal(what=f"`{form}` has an unknown key {show(key)}.", field=form, hint=hint)
    rows = data.get("data")
    if type(rows) is not list:
        raise wrong(f"{form}.data", "a list of rows", rows)
    names = data.get("columns")
    if names is None:
        width = len(rows[0]) if rows and type(rows[0]) is list else len(signature.inputs)
        names = [str(at) for at in range(width)]
    elif type(names) is not list or any(type(one) not in (str, int) for one in names):
        raise wrong(f"{form}.columns", "a list of names", names)
    names = [str(one) for one in names]
    if len(set(names)) != len(names):
        raise wrong(f"{form}.columns", "names that differ", names)
    for at, row in enumerate(rows):
        if type(row) is not list or len(row) != len(names):
            raise wrong(f"{form}.data[{at}]", f"a list of {len(names)} values", row)
    index = data.get("index")
    if index is not None and type(index) is not list:
        raise wrong(f"{form}.index", "a list", index)
    if index is not None and not {str, int, float, bool}.issuperset(map(type, index)):
        raise wrong(f"{form}.index", "a list of strings or numbers", index)
    # A plain count says nothing, and lets the rows share a call.
    index = None if index == list(range(len(rows))) else index
    transposed = zip(*rows, strict=True) if rows else ([] for _ in names)
    return {name: list(one) for name, one in zip(names, transposed, strict=True)}, index


def _records(data: Any, form: str, signature: Signature) -> dict[str, list[Any]]:
    if type(data) is not list or not {dict}.issuperset(map(type, data)):
        raise wrong(form, "a list of objects, one a row", data)
    optional = {field.name for field in signature.inputs if not field.required}
    names = list(data[0]) if data else [field.name or "" for field in signature.inputs]
    known = set(names)
    for at, row in enumerate(data):
        if row.keys() != known:
            odd = sorted(row.keys() ^ known)
            if not set(odd) <= optional:
                other = "lacks" if odd[0] in known else "has"
                what = f"`{form}` is uneven: row {at} {other} {show(odd[0])}, unlike row 0."
                raise Refusal(what=what, field=odd[0][:200], hint=near(odd[0], known - {odd[0]}))
            known |= row.keys()
    names += sorted(known.difference(names))
    return {name: [row.get(name) for row in data] for name in names}


def from_columns(
    columns: dict[str, list[Any]],
    signature: Signature,
    chosen: dict[str, Any] | None,
    index: list[Any] | None = None,
) -> Call:
    """A call with a table, in the model's terms."""
    match signature.kind:
        case Kind.COLUMNS:
            return table_call(signature, columns, chosen, index)
        case Kind.TENSORS:
            return tensor_call(signature, _tensors_of_table(columns, signature), chosen)
        case _:
            return raw_call(Table(columns, index), chosen)


def _tensors_of_table(columns: dict[str, list[Any]], signature: Signature) -> dict[str, Any]:
    """A table for a model of tensors: a column's cells are flattened rows of its tensor."""
    fields = {input_name(signature, at): one for at, one in enumerate(signature.inputs)}
    if signature.inputs[0].name is None:
        (name, field) = next(iter(fields.items()))
        wide = len(columns) > 1 or field.shape == (-1, 1)
        rows: list[Any] = [list(row) for row in zip(*columns.values(), strict=True)]
        return {name: rows} if wide else {name: _reshaped(next(iter(columns.values()), []), field)}
    return {
        name: _reshaped(values, fields[name]) if name in fields else values
        for name, values in columns.items()
    }


def _reshaped(cells: list[Any], field: Field) -> Any:
    shape = field.shape
    if len(shape) < 2 or -1 in shape[1:] or shape[0] != -1:
        return cells
    flat, nesting = flatten(cells, field.name)
    if len(nesting) == 2 and nesting[1] == int(np.prod(shape[1:])):
        return tensor(_nested(flat, shape), field, field.name or "input-0")
    return cells


def _nested(flat: list[Any], shape: tuple[int, ...]) -> list[Any]:
    for side in reversed(shape[1:]):
        flat = [flat[at : at + side] for at in range(0, len(flat), side)]
    return flat


def _from_values(data: Any, form: str, signature: Signature, chosen: dict[str, Any] | None) -> Call:
    rows = type(data) is list and bool(data) and type(data[0]) is dict
    match signature.kind:
        case Kind.COLUMNS:
            if rows:
                return table_call(signature, _records(data, form, signature), chosen)
            return table_call(signature, _columns(data, form, signature), chosen)
        case Kind.TENSORS:
            if rows:
                data = _records(data, form, signature)
            elif type(data) is not dict and len(signature.inputs) == 1:
                data = {input_name(signature, 0): data}
            if type(data) is not dict:
                raise wrong(form, "an object with a list for each input", data)
            return tensor_call(signature, data, chosen)
        case _:
            return raw_call(_unsigned(data, form, rows), chosen)


def _columns(data: Any, form: str, signature: Signature) -> dict[str, list[Any]]:
    names = [input_name(signature, at) for at in range(len(signature.inputs))]
    if type(data) is dict:
        if data and not any(type(values) is list for values in data.values()):
            return {name: [value] for name, value in data.items()}
        for name, values in data.items():
            if type(values) is not list:
                raise wrong(f"{form}.{name[:200]}", "a list", values)
        return data
    if type(data) is list and len(names) == 1 and list not in set(map(type, data)):
        return {names[0]: data}
    unnamed = signature.inputs[0].name is None
    if unnamed and type(data) is list and {list}.issuperset(map(type, data)):
        columns, _ = _split({"data": data, "columns": names}, signature)
        return columns
    raise wrong(form, "objects, one a row, or an object with a list for each column", data)


def _unsigned(data: Any, form: str, rows: bool) -> Any:
    try:
        if rows:
            told = _records(data, form, Signature(kind=Kind.UNSIGNED))
            return {name: np.array(values) for name, values in told.items()}
        if type(data) is dict:
            return {name: np.array(values) for name, values in data.items()}
        return np.array(data)
    except ValueError as error:
        raise Refusal(what=f"`{form}` is no array: {error}.", field=form) from None


def wrong(field: str, expected: str, got: Any) -> Refusal:
    """A part of the body that is missing or of another kind."""
    what = f"`{field}` is missing." if got is None else f"`{field}` is wrong."
    return Refusal(what=what, field=field, expected=expected, got=kind_of(got))
