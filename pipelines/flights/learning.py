"""How the network learns: plain torch, on as many workers as there are, no Ray.

All that depends on chance depends on the seed, the epoch and the worker's rank only, so a
run gives the same network again, also when it was killed and resumed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import distributed, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from flights.columns import CATEGORICAL, NUMERIC, TARGET
from flights.network import UNKNOWN, DelayNetwork

HIDE_CATEGORY = 0.02
"""Share of categories hidden in training, so that the code for "unknown" learns something too."""

PATIENCE = 3
"""Epochs without a better validation before training stops."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the caller decides."""

    epochs: int
    """Most passes over the training part."""

    batch_size: int
    """Rows per step, over all workers."""

    learning_rate: float
    """Peak of the one-cycle schedule."""

    hidden: int
    """Width of the network's first hidden layer."""

    dropout: float
    """Share of activations dropped."""

    seed: int
    """Of weights, shuffling and dropout."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A part of the table as tensors."""

    codes: torch.Tensor
    """Categories, int64."""

    numbers: torch.Tensor
    """Numbers, float32; missing is NaN."""

    late: torch.Tensor
    """The target, float32."""

    def __len__(self) -> int:
        return len(self.late)


@dataclass(kw_only=True)
class Progress:
    """What the epochs so far came to; with network and optimizer, all that a resumption needs."""

    epoch: int = 0
    """The next epoch to run."""

    best_auc: float = 0.0
    """The best validation AUC."""

    best_epoch: int = -1
    """Its epoch; -1 before the first."""

    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    """The network's state after it."""


def first_network(train: pd.DataFrame, settings: Settings) -> DelayNetwork:
    """A network that knows the training rows' vocabularies; the same one for the same seed."""
    torch.manual_seed(settings.seed)
    vocabularies = {name: sorted(train[name].dropna().unique().tolist()) for name in CATEGORICAL}
    return DelayNetwork(vocabularies, NUMERIC, hidden=settings.hidden, dropout=settings.dropout)


def tensors(network: DelayNetwork, frame: pd.DataFrame) -> Rows:
    """A part of the table as the network takes it."""
    codes, numbers = network.encode(frame)
    late = torch.tensor(frame[TARGET].to_numpy(), dtype=torch.float32)
    return Rows(codes=codes, numbers=numbers, late=late)


class Learner:
    """The network with its optimizer and schedule on one worker."""

    def __init__(
        self,
        *,
        network: DelayNetwork,
        parallel: nn.Module,
        settings: Settings,
        rows: Rows,
        rank: int,
        workers: int,
    ) -> None:
        """Get ready to learn from `rows`; `parallel` is the network that averages gradients."""
        self.network, self.parallel = network, parallel
        self.settings, self.rows = settings, rows
        self.rank, self.workers = rank, workers
        self.progress = Progress()
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=1e-4, fused=True
        )
        steps = -(-len(rows) // settings.batch_size)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            settings.learning_rate,
            total_steps=steps * settings.epochs,
            pct_start=0.15,
        )

    @property
    def done(self) -> bool:
        """Whether all epochs are run, or validation has stopped getting better."""
        past = self.progress
        stale = past.epoch - 1 - past.best_epoch if past.best_epoch >= 0 else 0
        return past.epoch >= self.settings.epochs or stale >= PATIENCE

    def epoch(self) -> float:
        """One pass over the training rows; the mean loss of this worker's share."""
        self.parallel.train()
        seed = self.settings.seed * 1000 + self.progress.epoch
        order = torch.randperm(len(self.rows), generator=torch.Generator().manual_seed(seed))
        torch.manual_seed(seed * self.workers + self.rank)  # dropout differs between workers
        batches = order.split(self.settings.batch_size)
        total = 0.0
        for batch in batches:
            # A last batch smaller than the group still gives every worker a row to step with.
            whole = len(batch) < self.workers
            total += self.step(batch if whole else batch[self.rank :: self.workers])
        return total / len(batches)

    def step(self, share: torch.Tensor) -> float:
        """One step of the optimizer; the loss."""
        codes = self.rows.codes[share]
        hidden = torch.rand(codes.shape) < HIDE_CATEGORY
        logits = self.parallel(codes.masked_fill(hidden, UNKNOWN), self.rows.numbers[share])
        loss = binary_cross_entropy_with_logits(logits, self.rows.late[share])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    @torch.inference_mode()
    def validate(self, rows: Rows) -> float:
        """The AUC over all of `rows`, the same number on every worker."""
        self.network.eval()
        # Equal shares, as gathering wants them; the padding repeats rows and is cut off again.
        size = -(-len(rows) // self.workers)
        mine = torch.arange(self.rank * size, (self.rank + 1) * size).clamp(max=len(rows) - 1)
        scores = self.network(rows.codes[mine], rows.numbers[mine])
        return auc(gathered(scores)[: len(rows)], rows.late)

    def advance(self, auc: float) -> None:
        """Book an epoch that validated with `auc`."""
        past = self.progress
        if auc > past.best_auc:
            past.best_auc, past.best_epoch = auc, past.epoch
            state = self.network.state_dict()
            past.best_weights = {name: value.clone() for name, value in state.items()}
        past.epoch += 1

    def to_state(self) -> dict[str, Any]:
        """All that `restore` needs to go on from here."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "progress": vars(self.progress),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to where `to_state` was called."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.progress = Progress(**state["progress"])


def gathered(scores: torch.Tensor) -> torch.Tensor:
    """The scores of all workers, in rank's order."""
    if not distributed.is_initialized():
        return scores
    parts = [torch.empty_like(scores) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, scores)
    return torch.cat(parts)


def auc(scores: torch.Tensor, late: torch.Tensor) -> float:
    """The area under the ROC curve; ties count half.

    >>> auc(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0.0, 0.0, 1.0, 1.0]))
    0.875
    """
    _, places, counts = scores.unique(return_inverse=True, return_counts=True)
    # Ranks from 1; equal scores share the mean of theirs.
    ranks = counts.cumsum(0) - (counts - 1) / 2
    positives = late.sum().item()
    negatives = len(late) - positives
    if not positives or not negatives:
        return 0.5
    total = (ranks.double()[places] * late).sum().item()
    return (total - positives * (positives + 1) / 2) / (positives * negatives)
