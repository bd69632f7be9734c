"""The features step's work on data frames: everything but reading parameters and writing files."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from flights import history
from flights.columns import CATEGORICAL, IDENTITY, NUMERIC, TARGET
from flights.journeys import journeys, read_table
from flights.weather import add_weather

HASH_RANGE = 1 << 20

KEPT = (
    *IDENTITY,
    *CATEGORICAL,
    *("minute", "distance", "planned_minutes", "plane_age", "seats"),
    *("asked_at", "departed_at", "landed_at", "dep_delay", "arr_delay", TARGET),
)
"""What the later joins and windows need of a journey; it is kept in memory for them."""


def prepare(spark: SparkSession, folder: str, *, sample: float = 1.0) -> DataFrame:
    """The flights of `folder`'s tables that arrived, each with its features and its target.

    Raises:
        FileNotFoundError: A table is not there.
        ValueError: `sample` is no share, or a table lacks a column.
    """
    if not 0 < sample <= 1:
        raise ValueError(f"sample is a share above 0 and up to 1, not {sample}")
    flights, planes, airports, weather = (
        read_table(spark, folder, name) for name in ("flights", "planes", "airports", "weather")
    )
    known = {**history.previous_leg(), "number_late_28d": history.number_record()}
    rows = journeys(flights, planes, airports).withColumns(known).select(*KEPT, *known).cache()
    chosen = history.arrived(rows).where(sampled(sample))
    asked = add_history(add_weather(chosen, weather), rows, readers=chosen)
    numbers = (F.col(name).cast("double").alias(name) for name in NUMERIC)
    return asked.select(*IDENTITY, *CATEGORICAL, *numbers, TARGET)


def add_history(asked: DataFrame, rows: DataFrame, *, readers: DataFrame) -> DataFrame:
    """`asked` with what `rows` tell about it; `readers` are its flights before any join."""
    short, day = history.SLOT_MINUTES, history.DAY_MINUTES
    asked = history.look_up(asked, history.departures(rows, readers), ["carrier", "origin"], short)
    asked = history.look_up(asked, history.arrivals(rows, readers), ["dest"], short)
    return history.look_up(asked, history.carrier_record(rows, readers), ["carrier"], day)


def sampled(share: float) -> Column:
    """True for the flights of a sample, decided by what names the flight."""
    mark = F.xxhash64("departs_at", "carrier", "flight", "origin", "dest")
    return F.pmod(mark, F.lit(HASH_RANGE)) < int(share * HASH_RANGE)
