"""Parts of the flights table come whole, in time's order, or with a clear error."""

from __future__ import annotations

import pandas as pd
import pytest

from flights.columns import FEATURES, TARGET
from flights.parts import read_part


def test_rows_come_in_times_order_whatever_file_they_are_in(table):
    rows = read_part(str(table), "train", ["departs_at", "flight"])

    assert rows.flight.tolist() == list(range(600))
    assert list(rows.columns) == ["departs_at", "flight"]


def test_columns_come_in_the_order_asked_for(table):
    assert list(read_part(str(table), "test", [TARGET, *FEATURES]).columns) == [TARGET, *FEATURES]


def test_a_missing_column_is_named(table):
    file = table / "part=test" / "part-0.parquet"
    pd.read_parquet(file).drop(columns=["temp", "seats"]).to_parquet(file)

    with pytest.raises(ValueError, match=r"no column 'seats', 'temp': .*part-0\.parquet"):
        read_part(str(table), "test", FEATURES)


def test_a_missing_part_is_named(table):
    with pytest.raises(FileNotFoundError, match="no part 'exam'"):
        read_part(str(table), "exam", FEATURES)
