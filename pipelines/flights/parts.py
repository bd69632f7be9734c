"""Parts of the flights table as data frames, in an order that does not depend on the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

ORDER = ["departs_at", "carrier", "flight", "origin"]


def read_part(table: str, part: str, columns: Sequence[str]) -> pd.DataFrame:
    """The rows of one part, sorted by time.

    Args:
        table: The features step's folder.
        part: `train`, `validate` or `test`.
        columns: The columns to return.

    Raises:
        FileNotFoundError: There is no such part.
        ValueError: The table lacks a column; the message names it.
    """
    import pyarrow.parquet as parquet

    folder = Path(table) / f"part={part}"
    if not folder.is_dir():
        raise FileNotFoundError(f"no part {part!r} in {table}: {folder} is not there")
    files = sorted(folder.glob("*.parquet"))
    if missing := sorted({*columns, *ORDER} - set(parquet.read_schema(files[0]).names)):
        raise ValueError(
            f"the flights table has no column {', '.join(map(repr, missing))}: {files[0]}"
        )
    wanted = list(dict.fromkeys([*columns, *ORDER]))
    rows = pd.concat([pd.read_parquet(one, columns=wanted) for one in files])
    return rows.sort_values(ORDER, kind="stable", ignore_index=True)[list(columns)]
