"""Steps: train one network, choose among several, say whether the best will do."""

from __future__ import annotations

from typing import List, NamedTuple  # noqa: UP035  (KFP reads List)

from kfp.dsl import Dataset, Input, Model, Output

import headrace as hr


class Trained(NamedTuple):
    """What training gives besides the model."""

    accuracy: float
    """Share of the validation part that is read rightly."""


class Chosen(NamedTuple):
    """What choosing gives besides the model."""

    accuracy: float
    """The best model's accuracy on the validation part."""


@hr.step
def train(
    train: Input[Dataset],
    validate: Input[Dataset],
    model: Output[Model],
    learning_rate: float,
    epochs: int = 12,
    dropout: float = 0.25,
) -> Trained:
    """Train one network with one learning rate.

    Args:
        train: Rows for the weights.
        validate: Rows for the accuracy.
        model: The network in MLflow's format.
        learning_rate: Of stochastic gradient descent with momentum.
        epochs: How often the training rows are seen.
        dropout: Share of activations dropped.
    """
    from importlib.metadata import version

    import mlflow
    import torch
    from torch.nn.functional import cross_entropy

    from digits.network import Network

    torch.manual_seed(13)
    torch.set_num_threads(1)
    rows, truth = _tensors(train.path)
    held_rows, held_truth = _tensors(validate.path)
    network = Network(dropout)
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate, momentum=0.9)
    accuracy = 0.0
    for epoch in range(epochs):
        network.train()
        for batch in torch.randperm(len(rows)).split(64):
            optimizer.zero_grad()
            cross_entropy(network(rows[batch]), truth[batch]).backward()
            optimizer.step()
        network.eval()
        with torch.inference_mode():
            accuracy = (network(held_rows).argmax(1) == held_truth).float().mean().item()
        mlflow.log_metric("accuracy", accuracy, step=epoch)
        print(f"epoch {epoch}: accuracy {accuracy:.4f}")
    with torch.inference_mode():
        signature = mlflow.models.infer_signature(rows[:1].numpy(), network(rows[:1]).numpy())
    mlflow.pytorch.save_model(
        network, model.path, signature=signature, input_example=rows[:2].numpy(),
        code_paths=[__file__.rpartition("/")[0]],
        # Named here, because MLflow would find out by loading the model in another process.
        # The installed version's name: torch's own adds its CUDA, which no index knows.
        pip_requirements=[f"{name}=={version(name)}" for name in ("torch", "numpy")],
    )  # fmt: skip
    model.metadata["learning_rate"] = learning_rate
    return Trained(accuracy=accuracy)


@hr.step
def choose(
    models: Input[List[Model]],  # noqa: UP006
    accuracies: List[float],  # noqa: UP006
    model: Output[Model],
) -> Chosen:
    """Keep the model with the best accuracy, the first of equals.

    Args:
        models: One per learning rate.
        accuracies: Of each.
        model: A copy of the best.
    """
    import shutil

    best = max(range(len(models)), key=accuracies.__getitem__)
    shutil.copytree(models[best].path, model.path)
    model.metadata.update(models[best].metadata)
    for one, accuracy in zip(models, accuracies, strict=True):
        chosen = "  <- chosen" if one is models[best] else ""
        print(f"learning rate {one.metadata['learning_rate']}: {accuracy:.4f}{chosen}")
    return Chosen(accuracy=accuracies[best])


@hr.step
def enough(accuracy: float, least: float) -> bool:
    """Whether an accuracy is good enough to register the model."""
    return accuracy >= least


def _tensors(path: str):
    import pandas as pd
    import torch

    table = pd.read_parquet(path)
    pixels = table.drop(columns="digit").to_numpy("float32")
    return torch.tensor(pixels), torch.tensor(table.digit.to_numpy("int64"))
