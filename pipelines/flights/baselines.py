"""Step: what the network has to beat, on the same rows and with the same features."""

from __future__ import annotations

from kfp.dsl import Dataset, Input, Metrics, Output

import headrace as hr


@hr.step
def baselines(table: Input[Dataset], scored: Output[Dataset], metrics: Output[Metrics]) -> None:
    """Write the test part with the columns `baseline_rate` and `baseline_logistic` added.

    `baseline_rate` is the share of late flights in the training part by carrier, hour and
    origin; `baseline_logistic` a logistic regression, fitted to convergence, on all features.

    Args:
        table: The features step's Parquet.
        scored: One Parquet file with the test part and both baselines' probabilities.
        metrics: AUC and average precision of both.
    """
    from pathlib import Path

    from flights.reference import add_baselines, figures

    test = add_baselines(table.path)
    Path(scored.path).mkdir(parents=True, exist_ok=True)
    test.to_parquet(Path(scored.path) / "test.parquet", index=False)
    for name, value in figures(test).items():
        metrics.log_metric(name, value)
