"""What a registered model runs: the network that it was trained with, from the file it carries."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import mlflow
import torch


class DelayModel(mlflow.pyfunc.PythonModel):
    """Raw columns in, the probability of late arrival out."""

    def load_context(self, context: Any) -> None:
        """Load the network's code and weights, under a name that no other version's code has."""
        spec = spec_from_file_location("carried_network", context.artifacts["network"])
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        state = torch.load(context.artifacts["weights"], weights_only=True)
        self.network = module.DelayNetwork.from_state(state)

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """A probability per row."""
        return self.network.predict(model_input)


mlflow.models.set_model(DelayModel())
