"""The served model, loaded by MLflow from this file as it stands ("models from code").

It knows the network only through the file that was saved with the weights: nothing of the
project needs to be installed where the model is served, and two versions can live in one
process.
"""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from typing import Any
from uuid import uuid4

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel


class DelayModel(PythonModel):  # type: ignore[misc]
    """The probability that a flight arrives 15 minutes late or more."""

    def load_context(self, context: Any) -> None:
        """Load the network's code and weights."""
        import torch

        spec = spec_from_file_location(f"delay_network_{uuid4().hex}", context.artifacts["network"])
        assert spec is not None and spec.loader is not None
        code = module_from_spec(spec)
        spec.loader.exec_module(code)
        state = torch.load(context.artifacts["weights"], weights_only=True)
        self.network = code.DelayNetwork.from_state(state)
        self.network.eval()

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        """One probability per row, in the rows' order."""
        return self.network.predict(model_input)


mlflow.models.set_model(DelayModel())
