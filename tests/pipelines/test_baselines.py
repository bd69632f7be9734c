"""The baselines are what they say: a smoothed rate, and a regression that copes with gaps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flights.baselines import baselines
from flights.columns import TARGET
from flights.reference import PRIOR_FLIGHTS, historic_rate, logistic

from .conftest import flights_table


def test_the_rate_is_the_groups_own_mixed_with_the_overall_one():
    keys = {"carrier": ["UA"] * 3 + ["AA"], "hour": [6] * 4, "origin": ["EWR"] * 4}
    train = pd.DataFrame({**keys, TARGET: [1, 1, 0, 0]})
    test = pd.DataFrame({"carrier": ["AA", "UA", "ZZ"], "hour": [6] * 3, "origin": ["EWR"] * 3})

    rates = historic_rate(train, test)

    united = (2 + PRIOR_FLIGHTS * 0.5) / (3 + PRIOR_FLIGHTS)
    american = (0 + PRIOR_FLIGHTS * 0.5) / (1 + PRIOR_FLIGHTS)
    assert rates.tolist() == pytest.approx([american, united, 0.5])


def test_the_regression_takes_unknown_categories_and_columns_without_any_value():
    train, test = flights_table(400), flights_table(50, seed=9)
    train["wind_gust"] = np.nan
    test.loc[:5, "carrier"] = "ZZ"

    scores = logistic(train, test)

    assert scores.shape == (50,)
    assert ((scores > 0) & (scores < 1)).all()


def test_the_step_adds_both_to_the_test_part_and_measures_them(table, artifact):
    scored, metrics = artifact("scored"), artifact("metrics")

    baselines(table=artifact("table"), scored=scored, metrics=metrics)

    rows = pd.read_parquet(scored.path)
    assert rows.flight.tolist() == list(range(200))
    assert {"baseline_rate", "baseline_logistic", TARGET} <= set(rows.columns)
    assert sorted(metrics.metadata) == [
        "baseline_logistic_auc",
        "baseline_logistic_average_precision",
        "baseline_rate_auc",
        "baseline_rate_average_precision",
    ]
    assert metrics.metadata["baseline_logistic_auc"] > 0.8
