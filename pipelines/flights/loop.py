"""The loop that every worker runs, on `ray.train`'s API."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import ray.train
import ray.train.torch
import torch

from flights.learning import Learner, Progress, Settings, first_network, tensors
from flights.network import DelayNetwork

CHECKPOINT = "state.pt"


def fit(
    train: pd.DataFrame, validate: pd.DataFrame, settings: Settings
) -> tuple[DelayNetwork, Progress]:
    """Train on this worker's share; the best epoch's network, the same on every worker."""
    context = ray.train.get_context()
    network = first_network(train, settings)
    rows, held_out = tensors(network, train), tensors(network, validate)
    network.fit_scales(rows.numbers)
    learner = Learner(
        network=network,
        parallel=ray.train.torch.prepare_model(network),  # shares its weights with `network`
        settings=settings,
        rows=rows,
        rank=context.get_world_rank(),
        workers=context.get_world_size(),
    )
    resume(learner)
    while not learner.done:
        loss = learner.epoch()
        auc = learner.validate(held_out)
        learner.advance(auc)
        report(learner, {"loss": loss, "validation_auc": auc})
    network.load_state_dict(learner.progress.best_weights)
    return network, learner.progress


def report(learner: Learner, metrics: dict[str, float]) -> None:
    """Tell Ray Train how an epoch went; the first worker hands in the checkpoint."""
    if learner.rank > 0:
        ray.train.report(metrics)
        return
    with TemporaryDirectory() as folder:
        torch.save(learner.to_state(), Path(folder) / CHECKPOINT)
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))


def resume(learner: Learner) -> None:
    """Go on from the last checkpoint, if there is one."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            learner.restore(torch.load(Path(folder) / CHECKPOINT, weights_only=True))
