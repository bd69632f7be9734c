"""A trained network as a folder in MLflow's model format."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import pandas as pd
import torch
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from flights.columns import CATEGORICAL, NUMERIC
from flights.network import DelayNetwork

WHOLE = ("hour", "weekday")
"""Categories that are whole numbers."""


def signature() -> ModelSignature:
    """Raw columns in, a probability out; every number may be left out or null."""
    categories = [
        ColSpec(DataType.long if name in WHOLE else DataType.string, name) for name in CATEGORICAL
    ]
    numbers = [ColSpec(DataType.double, name, required=False) for name in NUMERIC]
    return ModelSignature(
        inputs=Schema([*categories, *numbers]), outputs=Schema([ColSpec(DataType.double)])
    )


def save(network: DelayNetwork, example: pd.DataFrame, folder: str) -> None:
    """Write the model with its code, its weights, its signature and `example` to `folder`."""
    here = Path(__file__).parent
    with TemporaryDirectory() as scratch:
        weights = Path(scratch) / "weights.pt"
        torch.save(network.to_state(), weights)
        mlflow.pyfunc.save_model(
            path=folder,
            python_model=str(here / "delay_model.py"),
            artifacts={"network": str(here / "network.py"), "weights": str(weights)},
            signature=signature(),
            input_example=example,
            pip_requirements=[f"{name}=={version}" for name, version in versions().items()],
        )


def versions() -> dict[str, str]:
    """What the model was made with and needs again."""
    from importlib.metadata import version

    return {name: version(name) for name in ("mlflow", "torch", "pandas", "numpy")}
