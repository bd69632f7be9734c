"""A trained network as a folder in MLflow's model format."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow.pyfunc
import pandas as pd
import torch
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from flights.columns import CATEGORICAL, FEATURES, NUMERIC
from flights.network import DelayNetwork

WHOLE_NUMBERS = ("hour", "weekday")
"""The categories that are no texts."""


def save(network: DelayNetwork, rows: pd.DataFrame, folder: str) -> None:
    """Write the network to `folder`, with its own code, a signature and an example from `rows`."""
    here = Path(__file__).parent
    with TemporaryDirectory() as scratch:
        weights = Path(scratch) / "weights.pt"
        torch.save(network.to_state(), weights)
        mlflow.pyfunc.save_model(
            path=folder,
            python_model=str(here / "delay_model.py"),
            artifacts={"network": str(here / "network.py"), "weights": str(weights)},
            signature=signature(),
            input_example=example(rows),
            # Named here, because MLflow would find out by loading the model in another process.
            pip_requirements=[f"{name}=={version(name)}" for name in ("torch", "pandas", "numpy")],
        )


def signature() -> ModelSignature:
    """Raw columns in, a probability out; any number may be null or left out."""
    categories = [
        ColSpec(DataType.long if name in WHOLE_NUMBERS else DataType.string, name)
        for name in CATEGORICAL
    ]
    numbers = [ColSpec(DataType.double, name, required=False) for name in NUMERIC]
    return ModelSignature(
        inputs=Schema([*categories, *numbers]), outputs=Schema([ColSpec(DataType.double)])
    )


def example(rows: pd.DataFrame) -> pd.DataFrame:
    """Three real flights, from the beginning, the middle and the end of the rows."""
    places = [len(rows) * part // 4 for part in (1, 2, 3)]
    return rows[list(FEATURES)].iloc[places].reset_index(drop=True)
