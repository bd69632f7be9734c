"""The network: two convolutions and two dense layers, with dropout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PIXELS = 8
DIGITS = 10


class Network(nn.Module):
    """From rows of 64 grey values (0 to 16) to ten logits, or probabilities when serving."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(32 * (PIXELS // 2) ** 2, 64),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(64, DIGITS),
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Logits while training, probabilities once `eval` was called."""
        logits: Tensor = self.layers(rows.view(-1, 1, PIXELS, PIXELS) / 16)
        return logits if self.training else torch.softmax(logits, dim=1)
