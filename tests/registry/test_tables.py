"""Held-out data is read as people and Spark write it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from headrace.core.errors import UsageError
from headrace.registry.tables import read_table

TABLE = pd.DataFrame({"hour": [1, 2, 3], "late": [0, 1, 0]})


def spark_folder(path: Path) -> None:
    path.mkdir()
    TABLE[:2].to_parquet(path / "part-00000-x.snappy.parquet")
    TABLE[2:].to_parquet(path / "part-00001-x.snappy.parquet")
    (path / "_SUCCESS").touch()
    (path / ".part-00000-x.snappy.parquet.crc").write_bytes(b"crc")


def csv_folder(path: Path) -> None:
    path.mkdir()
    TABLE[:2].to_csv(path / "part-0.csv", index=False)
    TABLE[2:].to_csv(path / "part-1.csv", index=False)
    (path / "_SUCCESS").touch()


@pytest.mark.parametrize(
    "write",
    [
        TABLE.to_parquet,
        lambda path: TABLE.to_csv(path, index=False),
        spark_folder,
        csv_folder,
    ],
)
def test_data_is_known_by_its_content(tmp_path: Path, write: Callable[[Path], object]) -> None:
    write(tmp_path / "data")
    pd.testing.assert_frame_equal(read_table(tmp_path / "data", needed=["late"]), TABLE)


def test_a_missing_column_is_an_error_that_names_near_misses(tmp_path: Path) -> None:
    TABLE.to_parquet(tmp_path / "data")
    with pytest.raises(UsageError) as caught:
        read_table(tmp_path / "data", needed=["hour", "lat"])
    assert str(caught.value) == (
        f"The data has no column 'lat'.\n  at: {tmp_path / 'data'}\n  try: Did you mean 'late'?"
    )


def test_of_many_columns_only_some_are_listed(tmp_path: Path) -> None:
    pd.DataFrame({f"x{index}": [1] for index in range(40)}).to_parquet(tmp_path / "data")
    with pytest.raises(UsageError) as caught:
        read_table(tmp_path / "data", needed=["target"])
    assert caught.value.hint.endswith("x10, x11 and 28 more.")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PAR1 and then nonsense", "cannot be read as parquet"),
        (b"\xff\xfe\x00binary", "neither parquet nor readable CSV"),
        (b"hour,late\n", "The data has no rows."),
    ],
)
def test_data_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "data").write_bytes(content)
    with pytest.raises(UsageError, match=what):
        read_table(tmp_path / "data")


def test_no_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"The data is not there\."):
        read_table(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"There is no data here\."):
        read_table(tmp_path)
