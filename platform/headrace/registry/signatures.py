"""What a model's folder says of it: signature, example, flavors. Read without MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from headrace.core.errors import UsageError

NUMPY_TYPES = {
    "boolean": np.dtype(bool),
    "integer": np.dtype(np.int32),
    "long": np.dtype(np.int64),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "datetime": np.dtype("datetime64[ns]"),
}
NESTED_TYPES = frozenset({"array", "object", "map", "any", "sparkml_vector"})


class Kind(StrEnum):
    """What a model takes."""

    COLUMNS = "columns"
    """A table, checked column by column."""
    TENSORS = "tensors"
    """One array, or arrays by name."""
    HINTED = "hinted"
    """A list of values described by the model function's type hints; MLflow checks it."""
    UNSIGNED = "unsigned"
    """Whatever the model makes of it: it was saved without a signature."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One input, output or parameter of a model."""

    name: str | None
    """Its name; None where the signature has none."""
    dtype: str
    """MLflow's name for a column's or parameter's type (`long`), or numpy's for a tensor."""
    shape: tuple[int, ...] = (-1,)
    """-1 where any length goes; `()` for a parameter that is one value."""
    required: bool = True
    """Whether it may be left out."""
    default: Any = None
    """What a parameter is when left out."""

    @property
    def nested(self) -> bool:
        """Whether its values are lists or objects."""
        return self.dtype in NESTED_TYPES


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a model takes and gives."""

    kind: Kind
    """How to read `inputs`."""
    inputs: tuple[Field, ...] = ()
    """In the order the model wants them."""
    outputs: tuple[Field, ...] = ()
    """Empty where the model does not say."""
    params: tuple[Field, ...] = ()
    """What may be set per request beside the data."""

    @property
    def nested(self) -> bool:
        """Whether some input's values are lists or objects."""
        return any(field.nested for field in self.inputs)


def read_card(folder: Path) -> tuple[Signature, dict[str, Any] | None]:
    """The signature and the input example of a model's folder, without opening the model."""
    meta = read_meta(folder)
    return read_signature(meta), read_example(folder, meta)


def read_meta(folder: Path) -> dict[str, Any]:
    """What the file MLmodel says. Raises UsageError if it tells of no pyfunc flavor."""
    meta: dict[str, Any] = yaml.safe_load((folder / "MLmodel").read_text())
    if "python_function" not in meta.get("flavors", {}):
        hint = "Save it with a flavor that mlflow.pyfunc.load_model can open."
        raise UsageError("The model has no python_function flavor.", where=str(folder), hint=hint)
    return meta


def read_signature(meta: Mapping[str, Any]) -> Signature:
    """What the model takes and gives."""
    told = meta.get("signature") or {}
    inputs, outputs, params = (
        tuple(_field(one) for one in json.loads(told.get(key) or "[]"))
        for key in ("inputs", "outputs", "params")
    )
    if not inputs:
        kind = Kind.UNSIGNED
    elif meta.get("is_signature_from_type_hint"):
        kind = Kind.HINTED
    else:
        tensors = '"tensor-spec"' in told["inputs"]
        kind = Kind.TENSORS if tensors else Kind.COLUMNS
    return Signature(kind=kind, inputs=inputs, outputs=outputs, params=params)


def _field(told: Mapping[str, Any]) -> Field:
    name = None if told.get("name") is None else str(told["name"])
    if told["type"] == "tensor":
        spec = told["tensor-spec"]
        return Field(name=name, dtype=spec["dtype"], shape=tuple(spec["shape"]))
    shape = tuple(told["shape"] or ()) if "shape" in told else (-1,)
    required, default = bool(told.get("required", True)), told.get("default")
    return Field(name=name, dtype=told["type"], shape=shape, required=required, default=default)


def read_example(folder: Path, meta: Mapping[str, Any]) -> dict[str, Any] | None:
    """The input example as a body of `/invocations`; None if the model has none."""
    told = (meta.get("saved_input_example_info") or {}).get("serving_input_path")
    if not told or not (folder / told).is_file():
        return None
    example = json.loads((folder / told).read_text())
    return example if isinstance(example, dict) else None
