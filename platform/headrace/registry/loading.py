"""From a registry version to a function that predicts.

What a served model computes is what `mlflow.pyfunc.load_model(...).predict(...)` computes:
the caller has already checked the input against the signature, so MLflow's own (slow)
enforcement is passed by, and nothing else. Torch models are opened without importing MLflow
at all, which saves the server some 140 MB; whatever that path does not know goes MLflow's.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace.core.errors import HeadraceError, UsageError
from headrace.registry.signatures import (
    NUMPY_TYPES,
    Kind,
    Signature,
    read_example,
    read_meta,
    read_signature,
)

VERSION_URI = re.compile(r"models:/(?P<name>[^/@]+)/(?P<version>\d+)/?")

# Flavors whose prediction for a row never depends on the rows beside it.
ROWWISE_LOADERS = frozenset(
    f"mlflow.{flavor}" for flavor in ("sklearn", "pytorch", "xgboost", "lightgbm", "catboost")
)
# torch asks this module for an Unpickler only, and MLflow's is the standard library's.
PLAIN_PICKLES = frozenset({"mlflow.pytorch.pickle_module", "pickle", "cloudpickle"})


class InputMismatch(ValueError):
    """MLflow's own check of the input (nested columns, type hints) said no."""


@dataclass(slots=True)
class Table:
    """Columns of equal length: lists or arrays by name, in order."""

    columns: dict[Any, Any]
    index: list[Any] | None = None


Predict = Callable[[Any, Mapping[str, Any] | None], Any]


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model ready to predict, and what is known about it."""

    name: str
    """The registered name (or the folder's, for a model from a path)."""
    version: str
    """The registry's version number, "0" for a model from a path."""
    uri: str
    """`models:/NAME/VERSION`, or the path."""
    folder: Path
    """Where its files lie here."""
    flavor: str
    """MLflow's flavor: `sklearn`, `pytorch`, `python_function`, ..."""
    digest: str
    """`sha256:` of its files, names and contents."""
    run_id: str | None
    """The MLflow run that made it."""
    signature: Signature
    """What it takes and gives."""
    example: dict[str, Any] | None
    """The input example as a body of `/invocations`, if the model carries one."""
    rowwise: bool
    """Whether its flavor predicts each row for itself, so that rows may share one call."""
    predict: Predict
    """(data, params) → what the model returns. Data is a `Table` for columns, else an array,
    a dict of arrays or plain values; it must agree with the signature. Raises InputMismatch,
    or whatever the model raises."""


def load(
    uri: str, tracking_uri: str = "", *, folder: Path | None = None, name: str = ""
) -> LoadedModel:
    """Open a registry version, or a model's folder.

    Args:
        uri: `models:/NAME/VERSION` or a path; an alias is refused, for it may move.
        tracking_uri: Where MLflow keeps the registry.
        folder: Where the version's files lie, if already known.
        name: What to call a model from a path.
    """
    folder = folder or model_folder(uri, tracking_uri)
    meta = read_meta(folder)
    signature = read_signature(meta)
    versioned = VERSION_URI.fullmatch(uri)
    pyfunc = meta["flavors"]["python_function"]
    predict = _open_torch(folder, pyfunc, signature) or _open_pyfunc(
        folder, pyfunc, signature, meta
    )
    return LoadedModel(
        name=versioned["name"] if versioned else name or folder.name,
        version=versioned["version"] if versioned else "0",
        uri=uri,
        folder=folder,
        flavor=next(
            (one for one in meta["flavors"] if one != "python_function"), "python_function"
        ),
        digest=_digest(folder),
        run_id=meta.get("run_id"),
        signature=signature,
        example=read_example(folder, meta),
        rowwise=_is_rowwise(pyfunc, signature),
        predict=predict,
    )


def model_folder(uri: str, tracking_uri: str) -> Path:
    """Where the files of a version (or of a model's folder) lie on this machine.

    Raises:
        UsageError: An alias, a name or version that is not there, a folder without a model.
        EnvironmentProblem: The registry cannot be read.
    """
    if not uri.startswith("models:"):
        folder = Path(uri.removeprefix("file://")).expanduser().resolve()
        if not (folder / "MLmodel").is_file():
            hint = "Give models:/NAME/VERSION, or the folder that holds MLmodel."
            raise UsageError("No MLflow model is there.", where=str(folder), hint=hint)
        return folder
    versioned = VERSION_URI.fullmatch(uri)
    if not versioned:
        hint = "Resolve the alias first; a server holds one version from start to end."
        raise UsageError(
            f"A version was expected, as models:/NAME/VERSION, not {uri!r}.", hint=hint
        )
    from headrace.registry.catalog import resolve
    from headrace.registry.tracking import connect, foreign_errors

    name, version = versioned["name"], versioned["version"]
    resolve(tracking_uri, name, version)
    with foreign_errors(f"find the files of {uri}", tracking_uri):
        from mlflow.artifacts import download_artifacts

        # By way of the client: a models:/ URI by itself is looked up in the process's registry.
        source = connect(tracking_uri).get_model_version_download_uri(name, version)
        return Path(download_artifacts(artifact_uri=source, tracking_uri=tracking_uri)).resolve()


def _digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        with path.open("rb") as file:
            part = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{part}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _is_rowwise(pyfunc: Mapping[str, Any], signature: Signature) -> bool:
    plain = signature.kind in (Kind.COLUMNS, Kind.TENSORS) and not signature.nested
    by_row = pyfunc.get("predict_fn", "predict") != "score"
    return plain and by_row and pyfunc["loader_module"] in ROWWISE_LOADERS


def as_column(values: list[Any], dtype: str) -> Any:
    """A column as pandas should see it: an array where the type says so, else the plain list."""
    target = NUMPY_TYPES.get(dtype)
    if target is None or (target.kind == "b" and None in values):
        return values
    return np.array(values, dtype=target)


def _open_torch(folder: Path, pyfunc: Mapping[str, Any], signature: Signature) -> Predict | None:
    """The torch module called as MLflow's wrapper calls it, without MLflow; None if not sure."""
    if pyfunc["loader_module"] != "mlflow.pytorch" or os.environ.get(
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true"
    ).lower() not in ("true", "1"):
        return None
    numeric = all(one.dtype in NUMPY_TYPES and one.required for one in signature.inputs)
    table = signature.kind is Kind.COLUMNS and numeric
    array = signature.kind is Kind.TENSORS and [one.name for one in signature.inputs] == [None]
    if not (table or array) or any(one.dtype == "datetime" for one in signature.inputs):
        return None
    import torch

    wanted = (pyfunc.get("config") or {}).get("device")
    wanted = wanted or os.environ.get("MLFLOW_DEFAULT_PREDICTION_DEVICE")
    if (wanted or ("cuda" if torch.cuda.is_available() else "cpu")) != "cpu":
        return None
    if pyfunc.get("code"):
        sys.path.insert(0, str(folder / pyfunc["code"]))
    module = _torch_module(folder / pyfunc["data"])
    if module is None or "pytorch_forecasting" in sys.modules:
        return None

    def run(data: np.ndarray[Any, Any], params: Mapping[str, Any] | None) -> np.ndarray[Any, Any]:
        if params and "device" in params:
            raise ValueError("The device is chosen when the model is loaded, not per request.")
        with torch.no_grad():
            given = module(torch.from_numpy(data), **(params or {}))
            if not isinstance(given, torch.Tensor):
                raise TypeError(f"One tensor was expected of the model, not {type(given)}.")
            result: np.ndarray[Any, Any] = given.numpy()
            return result

    if array:
        return run

    def run_table(data: Table, params: Mapping[str, Any] | None) -> Table:
        columns = list(data.columns.values())
        # A column is contiguous, as in the array that pandas gives: the same kernels run.
        buffer = np.empty((len(columns), len(columns[0])), dtype=np.float32)
        for row, field, values in zip(buffer, signature.inputs, columns, strict=True):
            row[:] = as_column(values, field.dtype)
        result = run(buffer.T, params)
        if result.ndim not in (1, 2):
            raise ValueError(f"A table was expected of the model, not an array of {result.shape}.")
        return Table(dict(enumerate(result.reshape(len(result), -1).T)))

    return run_table


def _torch_module(data: Path) -> Any | None:
    import torch

    if not (data / "model.pth").is_file():
        return torch.export.load(data / "model.pt2").module()
    if (data / "pickle_module_info.txt").read_text() not in PLAIN_PICKLES:
        return None
    import pickle

    module = torch.load(
        data / "model.pth", weights_only=False, pickle_module=pickle, map_location="cpu"
    )
    return module.eval()


def _open_pyfunc(
    folder: Path, pyfunc: Mapping[str, Any], signature: Signature, meta: Mapping[str, Any]
) -> Predict:
    """MLflow's model; its enforcement is passed by where the caller's check says it all."""
    import inspect

    import pandas as pd
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import load_model

    model = load_model(str(folder))
    checked = signature.kind in (Kind.COLUMNS, Kind.TENSORS) and not signature.nested
    whole = not checked or bool(meta.get("type_hint_from_example"))
    if whole:
        call = model.predict
    else:
        call = getattr(model._model_impl, pyfunc.get("predict_fn", "predict"))
    takes_params = "params" in inspect.signature(call).parameters
    # Columns without names are numbered, as pandas does.
    dtypes: dict[Hashable, str] = {
        at if field.name is None else field.name: field.dtype
        for at, field in enumerate(signature.inputs)
    }

    def run(data: Any, params: Mapping[str, Any] | None) -> Any:
        if isinstance(data, Table):
            data = _frame(data, dtypes, pd)
        try:
            return (
                call(data, params=dict(params) if params else None) if takes_params else call(data)
            )
        except MlflowException as error:
            if whole and error.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
                raise InputMismatch(str(error.message)) from error
            raise

    return run


def _frame(table: Table, dtypes: Mapping[Hashable, str], pd: Any) -> Any:
    names = list(table.columns)
    types = {dtypes.get(name, "") for name in names}
    if len(types) == 1 and (one := NUMPY_TYPES.get(next(iter(types)))) and one.kind in "if":
        # One block in one go: a tenth of the time of a column at a time.
        block = np.array(list(table.columns.values()), dtype=one)
        return pd.DataFrame(block.T, columns=names, index=table.index, copy=False)
    columns = {name: as_column(table.columns[name], dtypes.get(name, "")) for name in names}
    return pd.DataFrame(columns, index=table.index, columns=names)


if __name__ == "__main__":
    # A process of its own resolves a version, so that the server need not import MLflow for it.
    try:
        print(model_folder(sys.argv[1], sys.argv[2]))
    except HeadraceError as error:
        sys.exit(str(error))
