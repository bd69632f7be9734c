"""The Open Inference Protocol, version 2: requests, answers and metadata, with JSON tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from headrace.registry.loading import LoadedModel, Table
from headrace.registry.signatures import NUMPY_TYPES, Field, Kind, Signature
from headrace.serving import params as parameters
from headrace.serving.bodies import read_object
from headrace.serving.calls import (
    UNNAMED_INPUT,
    UNNAMED_OUTPUT,
    Call,
    input_name,
    plain_rows,
    raw_call,
    table_call,
    tensor_call,
)
from headrace.serving.checks import as_array, check_numbers, check_shape, flatten
from headrace.serving.refusal import Refusal, kind_of, near, show

Array = np.ndarray[Any, Any]

NUMPY_OF = {
    "BOOL": np.dtype(np.bool_),
    **{f"UINT{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
}
NAME_OF = {dtype: name for name, dtype in NUMPY_OF.items()}
DATATYPES = (*NUMPY_OF, "BYTES")


@dataclass(slots=True)
class InferRequest:
    """What a body of `infer` asks for."""

    call: Call
    """What the model is to do."""
    id: str | None
    """Given back in the answer."""
    outputs: list[str]
    """The outputs wanted; empty for all."""


def datatype(field: Field) -> str:
    """The protocol's name for a field's type; text, bytes, times and JSON travel as BYTES."""
    dtype = NUMPY_TYPES.get(field.dtype)
    if dtype is None and field.dtype in np.sctypeDict:
        dtype = np.dtype(field.dtype)
    return "BYTES" if dtype is None else NAME_OF.get(dtype, "BYTES")


def describe(model: LoadedModel) -> dict[str, Any]:
    """The metadata answer for a model."""
    signature = model.signature
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": f"mlflow_{model.flavor}",
        "inputs": _describe(signature.inputs, UNNAMED_INPUT),
        "outputs": _describe(signature.outputs, UNNAMED_OUTPUT),
        "parameters": {"digest": model.digest, "uri": model.uri, "run_id": model.run_id},
    }


def _describe(fields: Iterable[Field], unnamed: str) -> list[dict[str, Any]]:
    return [
        {
            "name": field.name or unnamed.format(at),
            "datatype": datatype(field),
            "shape": list(field.shape),
            "parameters": {"type": field.dtype, "required": field.required},
        }
        for at, field in enumerate(fields)
    ]


def read_infer(body: bytes, signature: Signature) -> InferRequest:
    """Parse and check a body of `infer`.

    Raises:
        Refusal: What is wrong, and where.
    """
    told = read_object(body)
    asked = told.get("id")
    if asked is not None and not isinstance(asked, str):
        raise _bad("id", "a string", asked)
    inputs = told.get("inputs")
    if type(inputs) is not list or not inputs:
        raise _bad("inputs", "a list of one tensor or more", inputs)
    given: dict[str, Any] = {}
    for at, one in enumerate(inputs):
        if type(one) is not dict or type(one.get("name")) is not str:
            raise _bad(f"inputs[{at}]", "an object with name, shape, datatype and data", one)
        if one["name"] in given:
            raise Refusal(what=f"Input {show(one['name'])} comes twice.", field=one["name"][:200])
        given[one["name"]] = one
    chosen = _params(told.get("parameters"), signature)
    return InferRequest(_call(given, signature, chosen), asked, _wanted(told.get("outputs")))


def _params(told: Any, signature: Signature) -> dict[str, Any] | None:
    if told is not None and type(told) is not dict:
        raise _bad("parameters", "an object", told)
    # The protocol's parameters are an open bag; only the model's own are the model's.
    known = {field.name for field in signature.params}
    return parameters.complete(signature, {k: v for k, v in (told or {}).items() if k in known})


def _wanted(told: Any) -> list[str]:
    if told is None:
        return []
    if type(told) is not list or any(
        type(one) is not dict or type(one.get("name")) is not str for one in told
    ):
        raise _bad("outputs", "a list of objects with a name", told)
    return [one["name"] for one in told]


def _call(given: dict[str, Any], signature: Signature, chosen: dict[str, Any] | None) -> Call:
    match signature.kind:
        case Kind.COLUMNS:
            fields = {input_name(signature, at): one for at, one in enumerate(signature.inputs)}
            # An unknown name is refused by table_call, which sees all of them.
            columns = {
                name: _column(name, one, fields[name]) if name in fields else []
                for name, one in given.items()
            }
            if signature.inputs[0].name is None:
                columns = {name: columns[name] for name in fields if name in columns}
            return table_call(signature, columns, chosen)
        case Kind.TENSORS:
            fields = {input_name(signature, at): one for at, one in enumerate(signature.inputs)}
            arrays = {
                name: _tensor(name, one, fields[name]) if name in fields else None
                for name, one in given.items()
            }
            return tensor_call(signature, arrays, chosen)
        case Kind.HINTED:
            name, one = _single(given)
            field = signature.inputs[0]
            return raw_call(_decode(plain_rows(_flat(name, one)[0], name), field, name), chosen)
        case Kind.UNSIGNED:
            return _unsigned(given, chosen)


def _single(given: dict[str, Any]) -> tuple[str, Any]:
    if len(given) != 1:
        raise Refusal(what="The model takes one input.", expected="1 tensor", got=str(len(given)))
    return next(iter(given.items()))


def _unsigned(given: dict[str, Any], chosen: dict[str, Any] | None) -> Call:
    arrays = {}
    for name, one in given.items():
        flat, shape, declared = _flat(name, one)
        dtype = NUMPY_OF.get(declared, np.dtype(object))
        arrays[name] = as_array(flat, dtype, name).reshape(shape)
    if len(arrays) == 1:
        return raw_call(next(iter(arrays.values())), chosen)
    if (
        len({array.shape for array in arrays.values()}) == 1
        and next(iter(arrays.values())).ndim == 1
    ):
        return raw_call(Table({name: list(array) for name, array in arrays.items()}), chosen)
    return raw_call(arrays, chosen)


def _flat(name: str, one: dict[str, Any]) -> tuple[list[Any], tuple[int, ...], str]:
    """The elements, shape and datatype of one tensor of a request, at one with each other."""
    shape, declared, data = one.get("shape"), one.get("datatype"), one.get("data")
    where = f"inputs[{show(name)}]"
    if type(shape) is not list or any(type(side) is not int or side < 0 for side in shape):
        raise _bad(f"{where}.shape", "a list of lengths from 0", shape)
    if declared not in DATATYPES if type(declared) is str else True:
        hint = near(declared, DATATYPES) if type(declared) is str else None
        raise _bad(f"{where}.datatype", f"one of {', '.join(DATATYPES)}", declared, hint)
    if type(data) is not list:
        hint = None
        if "binary_data_size" in (one.get("parameters") or {}):
            hint = "Binary tensors are not spoken here; send data as JSON."
        raise _bad(f"{where}.data", "a list", data, hint)
    flat, nesting = flatten(data, name)
    if len(nesting) > 1:
        check_shape(nesting, tuple(shape), name)
    if math.prod(shape) != len(flat):
        raise Refusal(
            what=f"Input {show(name)} has not as many elements as its shape says.",
            field=name[:200],
            expected=f"{math.prod(shape)} for shape {shape}",
            got=str(len(flat)),
        )
    return flat, tuple(shape), str(declared)


def _column(name: str, one: dict[str, Any], field: Field) -> list[Any]:
    flat, shape, declared = _flat(name, one)
    _check_datatype(name, declared, field)
    if len(shape) != 1 and not (len(shape) == 2 and shape[1] == 1):
        raise Refusal(
            what=f"Input {show(name)} has the wrong shape.",
            field=name,
            expected="[rows] or [rows, 1]",
            got=str(list(shape)),
        )
    if declared != datatype(field):
        check_numbers(flat, NUMPY_OF[declared], name)
    return _decode(flat, field, name) if field.nested else flat


def _tensor(name: str, one: dict[str, Any], field: Field) -> Array:
    flat, shape, declared = _flat(name, one)
    _check_datatype(name, declared, field)
    check_shape(shape, field.shape, name)
    if declared != datatype(field):
        check_numbers(flat, NUMPY_OF[declared], name)
    return as_array(flat, np.dtype(field.dtype), name).reshape(shape)


def _check_datatype(name: str, declared: str, field: Field) -> None:
    wanted = datatype(field)
    if declared == wanted:
        return
    source, target = NUMPY_OF.get(declared), NUMPY_OF.get(wanted)
    if source is None or target is None or "b" in (source.kind, target.kind):
        lossless = False
    else:
        lossless = np.can_cast(source, target, "safe")
    if not lossless:
        what = f"Input {show(name)} has the wrong datatype."
        raise Refusal(what=what, field=name, expected=wanted, got=declared)


def _decode(values: list[Any], field: Field, name: str) -> list[Any]:
    """Elements that are JSON themselves, for fields whose values are lists or objects."""
    if not field.nested:
        return values
    try:
        return [value if value is None else orjson.loads(value) for value in values]
    except (orjson.JSONDecodeError, TypeError) as error:
        what = f"Input {show(name)} holds a text that is not JSON: {error}."
        raise Refusal(what=what, field=name, expected="JSON in each element") from None


def _bad(field: str, expected: str, got: Any, hint: str | None = None) -> Refusal:
    what = f"`{field}` is missing." if got is None else f"`{field}` is wrong."
    return Refusal(what=what, field=field, expected=expected, got=kind_of(got), hint=hint)
