"""Whatever bytes arrive: a prediction or a 4xx with a JSON error, never a crash."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.registry.loading import Table
from headrace.registry.signatures import Field, Kind, Signature
from headrace.serving.checks import as_array, check_column, flatten
from headrace.serving.csvs import read_csv
from headrace.serving.inference import NAME_OF, read_infer
from headrace.serving.invocations import read_invocation
from headrace.serving.refusal import Refusal

quick = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))

SIGNATURES = {
    "columns": Signature(
        kind=Kind.COLUMNS,
        inputs=tuple(
            Field(name=dtype, dtype=dtype, required=dtype != "boolean")
            for dtype in (
                *("boolean", "integer", "long", "float", "double"),
                *("string", "binary", "datetime", "array"),
            )
        ),
        params=(Field(name="p", dtype="datetime", shape=(-1,), default=[]),),
    ),
    "numbered": Signature(
        kind=Kind.COLUMNS,
        inputs=(Field(name=None, dtype="double"), Field(name=None, dtype="string")),
    ),
    "one column": Signature(kind=Kind.COLUMNS, inputs=(Field(name="a", dtype="long"),)),
    "tensor": Signature(
        kind=Kind.TENSORS, inputs=(Field(name=None, dtype="float32", shape=(-1, 2, 2)),)
    ),
    "tensors": Signature(
        kind=Kind.TENSORS,
        inputs=(
            Field(name="a", dtype="int64", shape=(-1,)),
            Field(name="b", dtype="str", shape=(-1, 2)),
            Field(name="c", dtype="object", shape=(-1,)),
            Field(name="d", dtype="datetime64[ns]", shape=(2,)),
        ),
    ),
    "hinted": Signature(kind=Kind.HINTED, inputs=(Field(name=None, dtype="string"),)),
    "unsigned": Signature(kind=Kind.UNSIGNED),
}
each_signature = pytest.mark.parametrize("signature", SIGNATURES.values(), ids=list(SIGNATURES))

numbers = st.one_of(
    st.integers(), st.floats(), st.sampled_from([2**63, -(2**63), 2**31, 1e39, 0.5, -0.0])
)
words = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["2013-01-31T05:15:00", "2013-02-31", "AAAA", "[1]", "a", "b", "double", "FP32"]
    ),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, words)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=3)),
    max_leaves=12,
)


def names(signature: Signature) -> Any:
    known = [one.name or f"input-{at}" for at, one in enumerate(signature.inputs)]
    return st.one_of(st.sampled_from(known), words) if known else words


def tensors(signature: Signature) -> Any:
    return st.fixed_dictionaries(
        {
            "name": names(signature),
            "shape": st.one_of(values, st.lists(st.integers(-1, 4), max_size=3)),
            "datatype": st.one_of(words, st.sampled_from([*NAME_OF.values(), "BYTES"])),
            "data": st.one_of(values, st.lists(scalars, max_size=4)),
        }
    )


def bodies(signature: Signature) -> Any:
    """Requests that look right from afar, of either protocol."""
    table = st.dictionaries(names(signature), st.lists(scalars, max_size=3), max_size=9)
    records = st.lists(st.dictionaries(names(signature), scalars, max_size=9), max_size=3)
    split = st.fixed_dictionaries(
        {},
        optional={
            "columns": st.one_of(values, st.lists(names(signature), max_size=4)),
            "data": st.one_of(values, st.lists(st.lists(scalars, max_size=4), max_size=3)),
            "index": values,
            "other": values,
        },
    )
    anything = st.one_of(values, table, records, split)
    return st.fixed_dictionaries(
        {},
        optional={
            "dataframe_split": st.one_of(split, values),
            "dataframe_records": anything,
            "instances": anything,
            "inputs": st.one_of(anything, st.lists(tensors(signature), max_size=3)),
            "params": st.one_of(values, st.fixed_dictionaries({"p": values})),
            "parameters": st.one_of(values, st.fixed_dictionaries({"p": values})),
            "outputs": values,
            "id": values,
        },
    )


def judged(read: Any, body: bytes, signature: Signature) -> None:
    """The body is read, or refused in a way that can be sent."""
    try:
        read(body, signature)
    except Refusal as refusal:
        assert 400 <= refusal.status < 500
        assert json.loads(refusal.body())["error"]


@each_signature
@quick
@given(data=st.data())
def test_any_bytes_are_read_or_refused(signature: Signature, data: Any) -> None:
    body = data.draw(st.one_of(st.binary(max_size=200), values.map(json.dumps).map(str.encode)))
    for read in (read_infer, read_invocation, read_csv):
        judged(read, body, signature)


@each_signature
@quick
@given(data=st.data())
def test_any_request_that_looks_right_is_read_or_refused(signature: Signature, data: Any) -> None:
    body = json.dumps(data.draw(bodies(signature))).encode()
    judged(read_infer, body, signature)
    judged(read_invocation, body, signature)


@each_signature
@quick
@given(lines=st.lists(st.lists(st.one_of(words, scalars.map(str)), max_size=4), max_size=4))
def test_any_csv_is_read_or_refused(signature: Signature, lines: list[list[str]]) -> None:
    text = "\n".join(",".join(line) for line in lines)
    judged(read_csv, text.encode("utf-8", "surrogatepass"), signature)


@quick
@given(body=bodies(SIGNATURES["tensor"]), raw=st.binary(max_size=50), which=st.booleans())
def test_a_server_never_answers_nonsense_with_a_500(
    tensor_client: Any, body: Any, raw: bytes, which: bool
) -> None:
    content = raw if which else json.dumps(body).encode()
    for path in ("/v2/models/flights/infer", "/invocations"):
        answer = tensor_client.ask("POST", path, content=content)
        assert answer.status_code in (200, 400)
        answer.json()


@quick
@given(data=st.data(), dtype=st.sampled_from(["float64", "float32", "int64", "int8", "bool"]))
def test_what_an_array_holds_comes_back_from_its_lists(data: Any, dtype: str) -> None:
    shape = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    target = np.dtype(dtype)
    match target.kind:
        case "f":
            element: Any = st.floats(width=target.itemsize * 8)
        case "i":
            element = st.integers(int(np.iinfo(target).min), int(np.iinfo(target).max))
        case _:
            element = st.booleans()
    size = math.prod(shape)
    flat = data.draw(st.lists(element, min_size=size, max_size=size))
    array = np.array(flat, dtype=target).reshape(shape)
    back = as_array(array.tolist(), target, "x")
    # Lists without elements cannot say how long their own elements would be.
    assert back.size == 0 or np.array_equal(back, array, equal_nan=target.kind == "f")


@quick
@given(values=st.lists(scalars, max_size=5), dtype=st.sampled_from(["double", "float", "long"]))
def test_a_number_column_is_never_changed_in_value(values: list[Any], dtype: str) -> None:
    field = Field(name="x", dtype=dtype)
    try:
        checked = check_column(values, field)
    except Refusal:
        return
    assert all(a is b or a == b or a != a for a, b in zip(values, checked, strict=True))
    assert not any(isinstance(one, (bool, str)) for one in values)


@quick
@given(nested=values)
def test_flattening_agrees_with_its_shape(nested: Any) -> None:
    try:
        flat, shape = flatten(nested, "x")
    except Refusal:
        return
    assert len(flat) == math.prod(shape)


@quick
@given(
    rows=st.lists(
        st.fixed_dictionaries({"a": st.integers(-(2**63), 2**63 - 1)}), min_size=1, max_size=5
    )
)
def test_every_form_of_a_table_reads_alike(rows: list[dict[str, int]]) -> None:
    signature = SIGNATURES["one column"]
    column = [row["a"] for row in rows]
    tensor = {"name": "a", "shape": [len(rows)], "datatype": "INT64", "data": column}
    calls = [
        read_invocation(json.dumps(body).encode(), signature)
        for body in (
            {"dataframe_records": rows},
            {"dataframe_split": {"columns": ["a"], "data": [[one] for one in column]}},
            {"instances": rows},
            {"inputs": {"a": column}},
            {"inputs": column},
        )
    ]
    calls.append(read_infer(json.dumps({"inputs": [tensor]}).encode(), signature).call)
    calls.append(read_csv("\n".join(["a", *map(str, column)]).encode(), signature))
    for call in calls:
        assert call.data == Table({"a": column})
        assert (call.rows, call.key) == (len(rows), ("a",))
