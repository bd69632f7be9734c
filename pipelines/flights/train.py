"""Step: train the network on two workers, side by side, on the same rows in turn."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import headrace as hr
from kfp.dsl import Dataset, Input, Model, Output

from flights.columns import CATEGORICAL, FEATURES, NUMERIC, TARGET

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from flights.network import DelayNetwork

HIDDEN = 128
DROPOUT = 0.1
FORGET = 0.02
"""Share of categories that are hidden in each batch, so that a new carrier finds a use."""
PATIENCE = 2
"""Epochs without a better validation AUC after which training stops."""
CHECKPOINT = "checkpoint.pt"


class Trained(NamedTuple):
    """What training gives besides the model."""

    epochs: int
    """Epochs that were run."""
    validation_auc: float
    """Area under the ROC curve in October, of the epoch that was kept."""


@hr.ray(workers=2)
def train(
    table: Input[Dataset],
    model: Output[Model],
    epochs: int = 8,
    batch_size: int = 1024,
    learning_rate: float = 0.002,
    seed: int = 7,
) -> Trained:
    """Train with DistributedDataParallel; stop early; keep the best epoch.

    Every worker reads all rows and works on every other one of a shuffle that all agree on.

    Args:
        table: Parquet, partitioned by `part`.
        model: The network in MLflow's format: raw columns in, probability of lateness out.
        epochs: Most epochs.
        batch_size: Rows per step, over all workers.
        learning_rate: The highest that the one-cycle schedule reaches.
        seed: Of weights and shuffles.
    """
    import ray.train
    import ray.train.torch
    import torch
    from ray.train.collective import broadcast_from_rank_zero

    from flights.network import DelayNetwork

    context = ray.train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    frames = {part: read_part(table.path, part) for part in ("train", "validate")}
    vocabularies = {
        name: sorted(frames["train"][name].dropna().unique().tolist()) for name in CATEGORICAL
    }
    torch.manual_seed(seed)
    plain = DelayNetwork(vocabularies, NUMERIC, hidden=HIDDEN, dropout=DROPOUT)
    inputs = {part: plain.encode(frame) for part, frame in frames.items()}
    truth = {
        part: torch.tensor(frame[TARGET].to_numpy("float32")) for part, frame in frames.items()
    }
    plain.fit_scales(inputs["train"][1])
    network = ray.train.torch.prepare_model(plain)
    steps = len(truth["train"]) // batch_size
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=max(1, steps) * epochs, pct_start=0.15
    )
    begun = Progress.resumed(ray.train.get_checkpoint(), plain, optimizer, schedule)
    for epoch in range(begun.epoch, epochs):
        order = torch.randperm(
            len(truth["train"]), generator=torch.Generator().manual_seed(seed * 1000 + epoch)
        )
        torch.manual_seed(seed * 1000 + epoch * workers + rank)
        network.train()
        total = 0.0
        for batch in order[: steps * batch_size].view(steps, batch_size).unbind():
            mine = batch[rank::workers]
            total += step(network, optimizer, inputs["train"], truth["train"], mine)
            schedule.step()
        network.eval()
        with torch.inference_mode():
            logits = plain(*inputs["validate"])
        auc = area_under_curve(truth["validate"], logits)
        begun.note(epoch, auc, plain)
        with tempfile.TemporaryDirectory() as folder:
            if rank == 0:
                torch.save(begun.to_state(plain, optimizer, schedule), Path(folder) / CHECKPOINT)
            ray.train.report(
                {"loss": total / max(1, steps), "validation_auc": auc, "epoch": epoch},
                checkpoint=ray.train.Checkpoint.from_directory(folder) if rank == 0 else None,
            )
        if broadcast_from_rank_zero(begun.stale >= PATIENCE):
            break
    plain.load_state_dict(begun.best)
    if rank == 0:
        save(plain, frames["validate"], Path(model.path))
        model.metadata["validation_auc"] = begun.best_auc
    return Trained(epochs=begun.epoch, validation_auc=begun.best_auc)


def step(
    network: Any, optimizer: Any, inputs: tuple[Tensor, Tensor], truth: Tensor, batch: Tensor
) -> float:
    """One step on the rows of `batch`; returns its mean loss."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    codes, numbers = inputs[0][batch], inputs[1][batch]
    codes = codes.masked_fill(torch.rand(codes.shape) < FORGET, 0)
    loss = binary_cross_entropy_with_logits(network(codes, numbers), truth[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


class Progress:
    """How far training is and what was best so far; a checkpoint holds all of it."""

    def __init__(self) -> None:
        self.epoch = 0
        self.stale = 0
        self.best_auc = 0.0
        self.best: dict[str, Tensor] = {}

    @classmethod
    def resumed(
        cls, checkpoint: Any, network: DelayNetwork, optimizer: Any, schedule: Any
    ) -> Progress:
        """From a checkpoint, with network, optimizer and schedule put back; or from nothing."""
        import torch

        progress = cls()
        if checkpoint is None:
            return progress
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder) / CHECKPOINT, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        vars(progress).update(state["progress"])
        return progress

    def note(self, epoch: int, auc: float, network: DelayNetwork) -> None:
        """Take in an epoch's result."""
        self.epoch = epoch + 1
        self.stale = 0 if auc > self.best_auc else self.stale + 1
        if auc > self.best_auc:
            self.best_auc = auc
            self.best = {name: one.clone() for name, one in network.state_dict().items()}

    def to_state(self, network: DelayNetwork, optimizer: Any, schedule: Any) -> dict[str, Any]:
        """What `resumed` takes."""
        return {
            "progress": vars(self),
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
        }


def read_part(path: str, part: str) -> pd.DataFrame:
    """One part of the table.

    Raises:
        ValueError: A column that the model needs is missing, with the missing ones named.
    """
    import pyarrow.parquet as pq

    frame = pq.read_table(f"{path}/part={part}").to_pandas()
    missing = [name for name in (*FEATURES, TARGET) if name not in frame]
    if missing:
        raise ValueError(f"the table's part {part!r} lacks the columns {', '.join(missing)}")
    return frame


def area_under_curve(truth: Tensor, scores: Tensor) -> float:
    """Area under the ROC curve: how often a late flight scores above one in time, ties half."""
    import torch

    values, place = torch.unique(scores, return_inverse=True)
    counts = torch.bincount(place, minlength=len(values)).double()
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[place]
    positives = truth.double().sum()
    negatives = len(truth) - positives
    above = ranks[truth > 0].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def save(network: DelayNetwork, sample: pd.DataFrame, target: Path) -> None:
    """Write the network as an MLflow model that carries its own code."""
    import mlflow.pyfunc
    import numpy
    import pandas
    import torch
    from mlflow.models import infer_signature

    example = sample[list(FEATURES)].head(2).reset_index(drop=True)
    folder = Path(__file__).parent
    with tempfile.TemporaryDirectory() as place:
        weights = Path(place) / "weights.pt"
        torch.save(network.to_state(), weights)
        mlflow.pyfunc.save_model(
            path=str(target),
            python_model=str(folder / "served.py"),
            artifacts={"weights": str(weights), "network": str(folder / "network.py")},
            signature=infer_signature(example, network.predict(example)),
            input_example=example,
            # Named here, because MLflow would find out by loading the model in another process.
            pip_requirements=[
                f"torch=={torch.__version__}",
                f"pandas=={pandas.__version__}",
                f"numpy=={numpy.__version__}",
            ],
        )
