"""What a model returned → the bytes of an answer."""

from __future__ import annotations

import base64
import datetime
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from headrace.registry.loading import LoadedModel, Table
from headrace.serving.calls import UNNAMED_OUTPUT
from headrace.serving.inference import NAME_OF
from headrace.serving.refusal import Refusal, near, show

Array = np.ndarray[Any, Any]
WRITING = orjson.OPT_NON_STR_KEYS
WRITING_TENSORS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


class Unwritable(TypeError):
    """The model returned something that JSON cannot hold."""


def plain(value: Any) -> Any:
    """What MLflow's server writes for a value that JSON does not know."""
    match value:
        case np.ndarray():
            return value.tolist()
        case np.generic():
            return value.item()
        case bytes() | bytearray():
            return base64.encodebytes(value).decode("ascii")
        case datetime.date() | datetime.time():
            return value.isoformat()
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    for method in ("model_dump", "to_dict", "tolist"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise Unwritable(f"The model returned {type(value).__name__}, which JSON cannot hold.")


def _records(table: Table) -> list[dict[Any, Any]]:
    columns = [column.tolist() for column in table.columns.values()]
    names = list(table.columns)
    if len(names) == 1:
        return [{names[0]: value} for value in columns[0]]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def write_json(value: Any, options: int = WRITING) -> bytes:
    """JSON; NaN and infinities become null. Raises Unwritable."""
    try:
        return orjson.dumps(value, default=plain, option=options)
    except TypeError as error:
        # Integers past 64 bits, lone surrogates, float or str subclasses: the slow writer's.
        try:
            text = json.dumps(value, default=plain, ensure_ascii=True, allow_nan=False)
            return text.encode()
        except Unwritable:
            raise
        except (TypeError, ValueError, RecursionError) as second:
            raise Unwritable(f"The model's result cannot be written as JSON: {second}.") from error


def write_predictions(result: Any) -> bytes:
    """The answer of `/invocations`."""
    if isinstance(result, Table):
        result = _records(result)
    elif isinstance(result, np.ndarray):
        result = result.tolist()
    elif hasattr(result, "to_frame") and hasattr(result, "index"):
        result = result.to_frame().to_dict(orient="records")
    elif hasattr(result, "to_dict") and hasattr(result, "columns"):
        result = result.to_dict(orient="records")
    return write_json({"predictions": result})


def write_outputs(model: LoadedModel, result: Any, id: str | None, wanted: Sequence[str]) -> bytes:
    """The answer of `infer`.

    Raises:
        Refusal: An output was asked for that the model does not give.
        Unwritable: The result is of no kind that tensors can hold.
    """
    tensors = _tensors(model, result)
    for name in wanted:
        if name not in tensors:
            what = f"The model has no output {show(name)}."
            raise Refusal(what=what, field=name[:200], hint=near(name, tensors))
    answer: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if id is not None:
        answer["id"] = id
    answer["outputs"] = [_tensor(name, tensors[name]) for name in wanted or tensors]
    return write_json(answer, WRITING_TENSORS)


def _tensors(model: LoadedModel, result: Any) -> dict[str, Array]:
    """The arrays of a result by the names that the metadata gives them."""
    told = [one.name or UNNAMED_OUTPUT.format(at) for at, one in enumerate(model.signature.outputs)]
    match result:
        case Table():
            tensors = {str(name): column for name, column in result.columns.items()}
        case dict():
            tensors = {str(name): _array(value) for name, value in result.items()}
        case _ if hasattr(result, "columns") and hasattr(result, "iloc"):
            tensors = {str(name): _array(result[name]) for name in result.columns}
        case _:
            tensors = {UNNAMED_OUTPUT.format(0): _array(result)}
    if len(tensors) == len(told) == 1:
        return {told[0]: next(iter(tensors.values()))}
    return tensors


def _array(value: Any) -> Array:
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "to_numpy"):
        array: Array = value.to_numpy()
        return array
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        array = np.empty(len(value), dtype=object)
        array[:] = value
        return array
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(len(value), dtype=object)
        array[:] = value
    return array.reshape(1) if array.ndim == 0 else array


def _tensor(name: str, array: Array) -> dict[str, Any]:
    datatype = NAME_OF.get(array.dtype)
    data: Any
    if datatype is None:
        datatype, data = "BYTES", [_text(value) for value in array.reshape(-1).tolist()]
        if array.dtype.kind == "M":
            data = [
                None if text == "NaT" else text for text in np.datetime_as_string(array).ravel()
            ]
            data = [text if text is None else str(text) for text in data]
    elif array.dtype == np.float16 or not array.dtype.isnative:
        data = array.reshape(-1).tolist()
    else:
        data = np.ascontiguousarray(array).reshape(-1)
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": data}


def _text(value: Any) -> str | None:
    """An element of a BYTES tensor: text as it is, bytes as base64, the rest as JSON."""
    match value:
        case str() | None:
            return value
        case bytes():
            return base64.b64encode(value).decode()
        case float() if math.isnan(value):
            return None
        case _:
            return write_json(value).decode()
