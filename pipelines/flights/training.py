"""Step: train the network on every worker, keep the epoch that validates best."""

from __future__ import annotations

import headrace as hr
from kfp.dsl import Dataset, Input, Metrics, Model, Output


@hr.ray(workers=2, cpus_per_worker=1)
def train(
    table: Input[Dataset],
    model: Output[Model],
    metrics: Output[Metrics],
    epochs: int = 6,
    batch_size: int = 2048,
    learning_rate: float = 0.004,
    seed: int = 0,
) -> None:
    """Train up to `epochs` epochs; stop early when validation gets no better.

    Each worker takes its share of every batch; gradients are averaged (DDP), so the workers'
    networks stay equal. Training resumes from the last checkpoint after a worker's death.

    Args:
        table: The features step's Parquet.
        model: The trained network in MLflow's format.
        metrics: How the kept epoch validates.
        epochs: Most passes over the training part.
        batch_size: Rows per step, over all workers.
        learning_rate: Peak of the one-cycle schedule.
        seed: Of the initial weights, the shuffling and the dropout.
    """
    from flights.loop import Settings, fit

    settings = Settings(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    trained = fit(table.path, settings)
    if trained is None:  # only rank 0 writes
        return
    from flights.packaging import save

    save(trained.network, trained.example, model.path)
    for name, value in trained.figures.items():
        metrics.log_metric(name, value)
