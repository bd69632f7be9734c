"""The training loop that every worker runs, on `ray.train`'s API."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import ray.train
import ray.train.torch
import torch
from torch import distributed
from torch.nn.functional import binary_cross_entropy_with_logits

from flights.batches import read_part
from flights.columns import CATEGORICAL, FEATURES, NUMERIC, TARGET
from flights.network import UNKNOWN, DelayNetwork

HIDE_CATEGORY = 0.02
"""Share of categories hidden in training, so that the code for "unknown" learns something too."""

PATIENCE = 3
"""Epochs without a better validation before training stops."""

CHECKPOINT = "state.pt"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the caller decides."""

    epochs: int
    """Most passes over the training part."""

    batch_size: int
    """Rows per step, over all workers."""

    learning_rate: float
    """Peak of the one-cycle schedule."""

    seed: int = 0
    """Of weights, shuffling and dropout."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What rank 0 brings home."""

    network: DelayNetwork
    """With the weights of the best epoch."""

    example: pd.DataFrame
    """A few real rows of raw columns."""

    figures: dict[str, float]
    """Validation AUC, the epoch it is from, how many epochs ran."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A part of the table as tensors."""

    codes: torch.Tensor
    numbers: torch.Tensor
    late: torch.Tensor

    def __len__(self) -> int:
        return len(self.late)


@dataclass(kw_only=True)
class Progress:
    """What the epochs so far came to; with network and optimizer, all that a resumption needs."""

    epoch: int = 0
    """The next epoch to run."""

    best_auc: float = 0.0
    best_epoch: int = -1
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether validation has stopped getting better."""
        return self.best_epoch >= 0 and self.epoch - 1 - self.best_epoch >= PATIENCE


def fit(table: str, settings: Settings) -> Trained | None:
    """Train on this worker; the result on rank 0, None elsewhere."""
    context = ray.train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    torch.manual_seed(settings.seed)  # the same weights everywhere, before DDP compares them
    frames = {part: read_part(table, part, [*FEATURES, TARGET]) for part in ("train", "validate")}
    network = DelayNetwork(vocabularies(frames["train"]), NUMERIC)
    train, validate = (tensors(network, frames[part]) for part in ("train", "validate"))
    network.fit_scales(train.numbers)
    steps = -(-len(train) // settings.batch_size)
    run = Run(network=network, settings=settings, steps=steps)
    progress = run.resume()
    torch.manual_seed(settings.seed * 1000 + rank)  # dropout differs between the workers
    while progress.epoch < settings.epochs and not progress.done:
        loss = run.epoch(train, progress.epoch, rank, workers)
        auc = run.validate(validate, rank, workers)
        run.advance(progress, auc)
        run.report({"loss": loss, "validation_auc": auc}, progress, rank)
    if rank:
        return None
    network.load_state_dict(progress.best_weights)
    figures = {
        "validation_auc": progress.best_auc,
        "best_epoch": float(progress.best_epoch),
        "epochs_run": float(progress.epoch),
    }
    return Trained(network=network, example=example(frames["validate"]), figures=figures)


def example(rows: pd.DataFrame) -> pd.DataFrame:
    """Three real flights of raw columns, spread over the month."""
    return rows[list(FEATURES)].iloc[[len(rows) * part // 4 for part in (1, 2, 3)]]


def vocabularies(train: pd.DataFrame) -> dict[str, list[Any]]:
    """The values of each category, sorted, as training knows them."""
    return {name: sorted(train[name].dropna().unique().tolist()) for name in CATEGORICAL}


def tensors(network: DelayNetwork, frame: pd.DataFrame) -> Rows:
    """A part of the table as the network takes it."""
    codes, numbers = network.encode(frame)
    late = torch.tensor(frame[TARGET].to_numpy(), dtype=torch.float32)
    return Rows(codes=codes, numbers=numbers, late=late)


class Run:
    """The network with its optimizer and schedule on one worker."""

    def __init__(self, *, network: DelayNetwork, settings: Settings, steps: int) -> None:
        self.network = network
        self.settings = settings
        # The prepared network shares its weights with `network`.
        self.parallel = ray.train.torch.prepare_model(network)
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=1e-4, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            settings.learning_rate,
            total_steps=steps * settings.epochs,
            pct_start=0.15,
        )

    def epoch(self, rows: Rows, epoch: int, rank: int, workers: int) -> float:
        """One pass over the training rows; the mean loss of this worker's share."""
        self.parallel.train()
        # The order depends on seed and epoch only: a resumed run goes on as the killed one would.
        order = torch.randperm(
            len(rows), generator=torch.Generator().manual_seed(self.settings.seed * 1000 + epoch)
        )
        total = 0.0
        batches = order.split(self.settings.batch_size)
        for batch in batches:
            # A last batch smaller than the group still gives every worker a row to step with.
            share = batch[rank::workers] if len(batch) >= workers else batch
            total += self.step(rows, share)
        return total / len(batches)

    def step(self, rows: Rows, share: torch.Tensor) -> float:
        """One step of the optimizer; the loss."""
        codes = rows.codes[share]
        hidden = torch.rand(codes.shape) < HIDE_CATEGORY
        logits = self.parallel(codes.masked_fill(hidden, UNKNOWN), rows.numbers[share])
        loss = binary_cross_entropy_with_logits(logits, rows.late[share])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    @torch.inference_mode()
    def validate(self, rows: Rows, rank: int, workers: int) -> float:
        """The AUC over all rows, the same number on every worker."""
        self.network.eval()
        # Equal shares, as gathering wants them; the padding repeats rows and is cut off again.
        size = -(-len(rows) // workers)
        mine = torch.arange(rank * size, (rank + 1) * size).clamp(max=len(rows) - 1)
        scores = self.network(rows.codes[mine], rows.numbers[mine])
        return auc(gathered(scores)[: len(rows)], rows.late)

    def advance(self, progress: Progress, auc: float) -> None:
        """Book the epoch."""
        if auc > progress.best_auc:
            progress.best_auc, progress.best_epoch = auc, progress.epoch
            state = self.network.state_dict()
            progress.best_weights = {name: value.clone() for name, value in state.items()}
        progress.epoch += 1

    def report(self, metrics: dict[str, float], progress: Progress, rank: int) -> None:
        """Tell Ray Train how the epoch went; rank 0 hands in the checkpoint."""
        if rank:
            ray.train.report(metrics)
            return
        with TemporaryDirectory() as folder:
            torch.save(
                {
                    "network": self.network.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "schedule": self.schedule.state_dict(),
                    "progress": vars(progress),
                },
                Path(folder) / CHECKPOINT,
            )
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))

    def resume(self) -> Progress:
        """Go back to the last checkpoint, if there is one."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return Progress()
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder) / CHECKPOINT, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        return Progress(**state["progress"])


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
