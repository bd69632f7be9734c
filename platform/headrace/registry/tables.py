"""Reading held-out data: a parquet or CSV file, or a folder of them as Spark writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

_PARQUET = b"PAR1"
_SHOWN = 12


def read_table(path: Path, *, needed: Sequence[str] = ()) -> pd.DataFrame:
    """The table at `path`.

    Args:
        path: A file or a folder, with or without an ending.
        needed: Columns that must be there.

    Raises:
        UsageError: Nothing is there, it is neither parquet nor CSV, it has no rows, or a
            needed column is missing (near misses are named).
    """
    files = _parts(path)
    parquet = _is_parquet(files[0])
    table = _read_parquet(path, files) if parquet else _read_csv(path, files)
    for column in needed:
        if column not in table.columns:
            names = [str(name) for name in table.columns]
            hint = did_you_mean(column, names) if len(names) <= _SHOWN else _near(column, names)
            raise UsageError(f"The data has no column {column!r}.", where=str(path), hint=hint)
    if table.empty:
        raise UsageError("The data has no rows.", where=str(path))
    return table


def _near(column: str, names: list[str]) -> str:
    hint = did_you_mean(column, names)
    if hint.startswith("Did you mean"):
        return hint
    return f"There is: {', '.join(names[:_SHOWN])} and {len(names) - _SHOWN} more."


def _parts(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    # Spark and its like leave marks such as _SUCCESS and .crc files beside the data.
    parts = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and not file.name.startswith(("_", "."))
    ]
    if parts:
        return parts
    raise UsageError(
        "There is no data here." if path.exists() else "The data is not there.", where=str(path)
    )


def _is_parquet(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(_PARQUET)) == _PARQUET


def _read_parquet(path: Path, files: list[Path]) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except Exception as error:
        raise UsageError(
            f"The data cannot be read as parquet: {error}", where=[str(path), str(files[0])]
        ) from error


def _read_csv(path: Path, files: list[Path]) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    except Exception as error:  # pandas has many names for "this is no CSV"
        raise UsageError(
            f"The data is neither parquet nor readable CSV: {error}",
            where=str(path),
            hint="write it with DataFrame.to_parquet(data.path), or Spark's write.parquet",
        ) from error
