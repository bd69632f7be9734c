"""A stand-in for an artifact, and small tables in the shape of the real ones."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flights.columns import CATEGORICAL, IDENTITY, NUMERIC, TARGET


@dataclass
class Artifact:
    """What a step uses of an artifact."""

    path: str
    metadata: dict[str, Any] = field(default_factory=dict)

    def log_metric(self, name: str, value: float) -> None:
        self.metadata[name] = value


@pytest.fixture
def artifact(tmp_path):
    """Makes artifacts by name, below the test's folder."""
    return lambda name: Artifact(path=str(tmp_path / name))


def flights_table(rows: int, seed: int = 1) -> pd.DataFrame:
    """Made-up rows in which a long delay of the plane's last leg makes the flight late."""
    chance = random.Random(seed)
    made = []
    for number in range(rows):
        leg = chance.choice([None, *range(-20, 60, 5)])
        row: dict[str, Any] = dict.fromkeys(NUMERIC)
        row |= {name: chance.gauss(0, 1) for name in NUMERIC if chance.random() < 0.8}
        row |= {"leg_arrival_delay": leg, TARGET: int((leg or 0) > chance.randint(10, 30))}
        row |= {
            "carrier": chance.choice(["UA", "AA", "EV"]),
            "origin": chance.choice(["EWR", "JFK"]),
        }
        row |= {"dest": chance.choice(["ORD", "MIA", "BOS"]), "hour": chance.randint(5, 23)}
        row |= {"weekday": number % 7, "year": 2013, "month": 1, "day": 1 + number % 28}
        row |= {"flight": number, "tailnum": f"N{number}", "departs_at": 22_600_000 + number * 7}
        made.append(row)
    frame = pd.DataFrame(made)[[*IDENTITY, *CATEGORICAL, *NUMERIC, TARGET]]
    return frame.astype(dict.fromkeys(NUMERIC, "float64"))


@pytest.fixture
def table(tmp_path) -> Path:
    """A folder like that of the features step."""
    folder = tmp_path / "table"
    for seed, (part, rows) in enumerate([("train", 600), ("validate", 200), ("test", 200)]):
        (folder / f"part={part}").mkdir(parents=True)
        frame = flights_table(rows, seed)
        half = len(frame) // 2
        frame.iloc[half:].to_parquet(folder / f"part={part}" / "part-0.parquet", index=False)
        frame.iloc[:half].to_parquet(folder / f"part={part}" / "part-1.parquet", index=False)
    return folder
