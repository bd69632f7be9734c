"""A request to try a server with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.registry.loading import LoadedModel
from headrace.registry.signatures import Kind, Signature, read_card
from headrace.serving.inference import datatype
from headrace.serving.records import ServerRecord

# What stands for a value where the model carries no example.
SAMPLES: dict[str, Any] = {"string": "text", "datetime": "2013-01-31T05:15:00", "boolean": True}


def example_request(model: LoadedModel | ServerRecord, endpoint: str = "") -> str:
    """A `curl` line to paste into a shell: one row of the model's input example.

    Args:
        model: A loaded model, or a running server's record.
        endpoint: The server's base URL; a record knows its own.
    """
    if isinstance(model, ServerRecord):
        signature, example = read_card(Path(model.folder))
        endpoint = endpoint or model.endpoint
    else:
        signature, example = model.signature, model.example
    return request_line(signature, example, endpoint or "http://127.0.0.1:8500")


def request_line(signature: Signature, example: Mapping[str, Any] | None, endpoint: str) -> str:
    """The `curl` line for a model that takes this; a made-up row where there is no example."""
    body = json.dumps(first_row(example) if example else _sample(signature))
    quoted = body.replace("'", "'\\''")
    head = f"curl -s {endpoint}/invocations"
    return f"{head} -H 'Content-Type: application/json' -d '{quoted}'"


def first_row(example: Mapping[str, Any]) -> dict[str, Any]:
    """An example of `/invocations`, cut to its first row."""
    short = dict(example)
    for form, data in example.items():
        if form == "dataframe_split":
            # The index says nothing of the model.
            short[form] = {"columns": data["columns"], "data": data["data"][:1]}
        elif form in ("dataframe_records", "instances", "inputs") and isinstance(data, list):
            short[form] = data[:1]
        elif form == "inputs" and isinstance(data, dict):
            short[form] = {k: v[:1] if isinstance(v, list) else v for k, v in data.items()}
    return short


def _sample(signature: Signature) -> dict[str, Any]:
    match signature.kind:
        case Kind.COLUMNS:
            row = {field.name: SAMPLES.get(field.dtype, 0) for field in signature.inputs}
            if None in row:
                return {"dataframe_split": {"data": [[*map(_sample_of, signature.inputs)]]}}
            return {"dataframe_records": [row]}
        case Kind.TENSORS:
            tensors = {field.name: _zeros(field.shape, field) for field in signature.inputs}
            return {"inputs": tensors.get(None, tensors)}
        case _:
            return {"inputs": [0]}


def _sample_of(field: Any) -> Any:
    return SAMPLES.get(field.dtype, 0)


def _zeros(shape: tuple[int, ...], field: Any) -> Any:
    if not shape:
        return "text" if datatype(field) == "BYTES" else 0
    return [_zeros(shape[1:], field) for _ in range(max(1, shape[0]))]
