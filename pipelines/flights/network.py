"""The network: raw columns in, one logit out. Imports nothing of the project.

A model in the registry carries this file along, so that an old version is served by the
code that it was trained with, whatever the project has become since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

UNKNOWN = 0
"""The code of a category that training never saw, or that is missing."""


class DelayNetwork(nn.Module):
    """Embeddings for categories and a multilayer perceptron over them and the numbers.

    Vocabulary, scales and bins are part of the network's state: what it needs to read a row
    travels with its weights.
    """

    edges: torch.Tensor
    means: torch.Tensor
    scales: torch.Tensor

    def __init__(
        self,
        vocabularies: Mapping[str, Sequence[Any]],
        numeric: Sequence[str],
        *,
        bins: int = 16,
        hidden: int = 128,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.vocabularies = {name: list(values) for name, values in vocabularies.items()}
        self.codes = {
            name: {value: code for code, value in enumerate(values, start=UNKNOWN + 1)}
            for name, values in self.vocabularies.items()
        }
        self.numeric = list(numeric)
        self.options = {"bins": bins, "hidden": hidden, "dropout": dropout}
        sizes = [len(values) + 1 for values in self.vocabularies.values()]
        widths = [min(16, 2 + size // 4) for size in sizes]
        self.embeddings = nn.ModuleList(
            nn.Embedding(size, width) for size, width in zip(sizes, widths, strict=True)
        )
        # Each number also enters as its place between the quantiles of the training data: a
        # delay's effect is steep near zero and flat far out.
        self.register_buffer("edges", torch.zeros(len(numeric), bins + 1))
        self.register_buffer("means", torch.zeros(len(numeric)))
        self.register_buffer("scales", torch.ones(len(numeric)))
        width = sum(widths) + len(numeric) * (bins + 2)
        self.layers = nn.Sequential(
            nn.Linear(width, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden // 2),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden // 2, 1),
        )

    def fit_scales(self, numbers: torch.Tensor) -> None:
        """Learn means, scales and quantiles from training rows (missing is NaN)."""
        values = numbers.double().numpy()
        levels = np.linspace(0, 1, self.edges.shape[1])
        self.edges.copy_(torch.from_numpy(np.nanquantile(values, levels, axis=0).T))
        self.means.copy_(torch.from_numpy(np.nanmean(values, axis=0)))
        self.scales.copy_(torch.from_numpy(np.nanstd(values, axis=0) + 1e-6))

    def encode(self, frame: pd.DataFrame) -> tuple[torch.Tensor, torch.Tensor]:
        """A table's categories as codes (int64) and its numbers (float32).

        What is missing, a value or a whole column, is UNKNOWN and NaN. Columns are filled one
        by one: for a single row that is many times quicker than selecting them from the frame.
        """
        codes = np.full((len(frame), len(self.codes)), UNKNOWN, dtype=np.int64)
        numbers = np.full((len(frame), len(self.numeric)), np.nan, dtype=np.float32)
        for place, (name, known) in enumerate(self.codes.items()):
            if name in frame:
                codes[:, place] = [known.get(value, UNKNOWN) for value in frame[name].tolist()]
        for place, name in enumerate(self.numeric):
            if name in frame:
                numbers[:, place] = frame[name].to_numpy(dtype=np.float32, na_value=np.nan)
        return torch.from_numpy(codes), torch.from_numpy(numbers)

    def spread(self, numbers: torch.Tensor) -> torch.Tensor:
        """Numbers as scaled value, whether missing, and how full each quantile's bin is."""
        missing = numbers.isnan()
        scaled = ((numbers - self.means) / self.scales).clamp(-4, 4).masked_fill(missing, 0)
        low, high = self.edges[:, :-1], self.edges[:, 1:]
        place = (numbers.unsqueeze(2) - low) / (high - low).clamp(min=1e-6)
        filled = place.clamp(0, 1).masked_fill(missing.unsqueeze(2), 0)
        return torch.cat([scaled, missing.float(), filled.flatten(1)], dim=1)

    def forward(self, codes: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Logits, one per row, that the flight arrives late."""
        parts = [embed(codes[:, index]) for index, embed in enumerate(self.embeddings)]
        return self.layers(torch.cat([*parts, self.spread(numbers)], dim=1)).squeeze(1)

    @torch.inference_mode()
    def predict(self, frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The probability of late arrival for each row of a table of raw columns."""
        self.eval()
        return torch.sigmoid(self(*self.encode(frame)).double()).numpy()

    def to_state(self) -> dict[str, Any]:
        """All that `from_state` needs, in plain values and tensors."""
        return {
            "vocabularies": self.vocabularies,
            "numeric": self.numeric,
            "options": self.options,
            "weights": self.state_dict(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> DelayNetwork:
        """The network that `to_state` described."""
        network = cls(state["vocabularies"], state["numeric"], **state["options"])
        network.load_state_dict(state["weights"])
        return network
