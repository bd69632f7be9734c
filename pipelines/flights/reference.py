"""The two baselines: a historic rate and a logistic regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from flights.columns import CATEGORICAL, FEATURES, IDENTITY, NUMERIC, TARGET
from flights.parts import read_part

RATE_KEYS = ["carrier", "hour", "origin"]

PRIOR_FLIGHTS = 20
"""Flights at the overall rate that a group is mixed with, so that a group of two says little."""

RARE = 20
"""Categories with fewer training rows share one column of the regression."""


def add_baselines(table: str) -> pd.DataFrame:
    """The test part with the probability that each baseline gives a flight."""
    train = read_part(table, "train", [*FEATURES, TARGET])
    test = read_part(table, "test", [*IDENTITY, *FEATURES, TARGET])
    return test.assign(
        baseline_rate=historic_rate(train, test), baseline_logistic=logistic(train, test)
    )


def historic_rate(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray[Any, Any]:
    """For each test row the share of late flights in training with its carrier, hour and origin."""
    overall = train[TARGET].mean()
    groups = train.groupby(RATE_KEYS)[TARGET].agg(["sum", "count"])
    rates = (groups["sum"] + PRIOR_FLIGHTS * overall) / (groups["count"] + PRIOR_FLIGHTS)
    rows = pd.MultiIndex.from_frame(test[RATE_KEYS])
    return rates.reindex(rows).fillna(overall).to_numpy()


def logistic(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray[Any, Any]:
    """For each test row the probability from a logistic regression on all features."""
    categories = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=RARE,
        sparse_output=False,
        dtype=np.float32,
    )
    numbers = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        FunctionTransformer(np.float32),
    )
    model = make_pipeline(
        make_column_transformer((categories, list(CATEGORICAL)), (numbers, list(NUMERIC))),
        # A second-order method: few passes, and it really converges.
        LogisticRegression(solver="newton-cholesky", max_iter=50),
    )
    model.fit(train[list(FEATURES)], train[TARGET])
    return model.predict_proba(test[list(FEATURES)])[:, 1]


def figures(test: pd.DataFrame) -> dict[str, float]:
    """AUC and average precision of both baselines."""
    scores: dict[str, float] = {}
    for name in ("baseline_rate", "baseline_logistic"):
        scores[f"{name}_auc"] = float(roc_auc_score(test[TARGET], test[name]))
        scores[f"{name}_average_precision"] = float(
            average_precision_score(test[TARGET], test[name])
        )
    return scores
