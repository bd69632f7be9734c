"""Step: two simpler predictions for the test months, to hold the network against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import headrace as hr
from kfp.dsl import Dataset, Input, Output

from flights.columns import CATEGORICAL, FEATURES, NUMERIC, TARGET

if TYPE_CHECKING:
    import pandas as pd

KEYS = ["carrier", "hour", "origin"]
CAUTION = 20
"""How many flights at the overall rate each group's own rate is mixed with."""


@hr.step
def baselines(table: Input[Dataset], held_out: Output[Dataset]) -> None:
    """Write the test months with two columns of predictions added.

    `baseline_rate` is the share of late flights by carrier, hour and origin in the training
    months. `baseline_logistic` is a logistic regression on the very features that the network
    sees, categories one-hot, numbers standardised, missing ones marked.

    Args:
        table: Parquet, partitioned by `part`.
        held_out: November and December, a Parquet file.
    """
    import pyarrow.parquet as pq

    past = pq.read_table(f"{table.path}/part=train").to_pandas()
    test = pq.read_table(f"{table.path}/part=test").to_pandas()
    test["baseline_rate"] = historic_rate(past, test)
    test["baseline_logistic"] = regression(past).predict_proba(test[list(FEATURES)])[:, 1]
    test.to_parquet(held_out.path, index=False)
    held_out.metadata["rows"] = len(test)


def historic_rate(past: pd.DataFrame, asked: pd.DataFrame) -> Any:
    """Each row's group's share of late flights in the past; small groups lean on the whole."""
    overall = past[TARGET].mean()
    groups = past.groupby(KEYS, observed=True)[TARGET].agg(["sum", "count"])
    rate = (groups["sum"] + CAUTION * overall) / (groups["count"] + CAUTION)
    return (
        asked[KEYS]
        .merge(rate.rename("rate"), on=KEYS, how="left")["rate"]
        .fillna(overall)
        .to_numpy()
    )


def regression(past: pd.DataFrame) -> Any:
    """A logistic regression, fitted to convergence."""
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=20,
        dtype=np.float32,
        sparse_output=False,
    )
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    prepared = ColumnTransformer(
        [("categories", one_hot, list(CATEGORICAL)), ("numbers", numbers, list(NUMERIC))]
    )
    fitted = make_pipeline(prepared, LogisticRegression(solver="newton-cholesky"))
    return fitted.fit(past[list(FEATURES)], past[TARGET])
