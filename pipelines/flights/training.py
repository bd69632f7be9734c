"""Step: train the network on every worker, keep the epoch that validates best."""

from __future__ import annotations

from kfp.dsl import Dataset, Input, Metrics, Model, Output

import headrace as hr

HIDDEN = 128
"""Width of the first hidden layer; the second has half of it."""

DROPOUT = 0.1
"""Share of the hidden layers' activations dropped while training."""


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

    Every worker holds all rows and takes its share of each batch; gradients are averaged
    (DDP), so the workers' networks stay equal. After a worker's death training goes on from
    the last epoch's checkpoint, and ends in the same network.

    Args:
        table: The features step's Parquet.
        model: The trained network in MLflow's format: raw columns in, a probability out.
        metrics: How the kept epoch validates.
        epochs: Most passes over the training part.
        batch_size: Rows per step, over all workers.
        learning_rate: Peak of the one-cycle schedule.
        seed: Of the initial weights, the shuffling and the dropout.
    """
    import ray.train

    from flights.columns import FEATURES, TARGET
    from flights.learning import Settings
    from flights.loop import fit
    from flights.parts import read_part

    settings = Settings(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        hidden=HIDDEN,
        dropout=DROPOUT,
        seed=seed,
    )
    rows, held_out = (
        read_part(table.path, part, [*FEATURES, TARGET]) for part in ("train", "validate")
    )
    network, progress = fit(rows, held_out, settings)
    if ray.train.get_context().get_world_rank() > 0:
        return
    # Not before: MLflow takes seconds to import, and only the first worker needs it.
    from flights.packaging import save

    save(network, held_out, model.path)
    metrics.log_metric("validation_auc", progress.best_auc)
    metrics.log_metric("best_epoch", progress.best_epoch)
    metrics.log_metric("epochs_run", progress.epoch)
