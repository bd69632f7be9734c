"""The features step's work on data frames: everything but reading parameters and writing files."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from flights.columns import CATEGORICAL, IDENTITY, NUMERIC, TARGET
from flights.history import (
    DAY_MINUTES,
    SLOT_MINUTES,
    add_previous_leg,
    arrival_delay,
    congestion,
    late_share,
    look_up,
)
from flights.journeys import journeys, read_table
from flights.weather import add_weather

HASH_RANGE = 1 << 20

CONGESTION = {"origin": ["origin"], "carrier": ["carrier", "origin"]}
"""Whose departures of the last three hours are looked at, by the prefix of the features."""

LATE_SHARES = {
    "carrier_late_7d": (7, ["carrier"]),
    "number_late_28d": (28, ["carrier", "flight", "origin"]),
}
"""Whose share of late arrivals is looked at, by feature: days and keys."""


def prepare(spark: SparkSession, folder: Path, *, sample: float = 1.0) -> DataFrame:
    """The flights of `folder`'s tables that arrived, each with its features and its target.

    Raises:
        ValueError: `sample` is no share, or a table lacks a column.
    """
    if not 0 < sample <= 1:
        raise ValueError(f"sample is a share above 0 and up to 1, not {sample}")
    flights, planes, airports, weather = (
        read_table(spark, folder, name) for name in ("flights", "planes", "airports", "weather")
    )
    rows = add_previous_leg(journeys(flights, planes, airports)).cache()
    chosen = rows.where(F.col(TARGET).isNotNull() & sampled(sample))
    asked = add_plan(add_weather(chosen, weather), rows)
    asked = add_history(asked, rows, readers=chosen)
    numbers = (F.col(name).cast("double").alias(name) for name in NUMERIC)
    return asked.select(*IDENTITY, *CATEGORICAL, *numbers, TARGET)


def add_history(asked: DataFrame, rows: DataFrame, *, readers: DataFrame) -> DataFrame:
    """`asked` with what `rows` tell about it; `readers` are its flights before any join."""
    for name, keys in CONGESTION.items():
        asked = look_up(asked, congestion(rows, readers, keys, name), keys, SLOT_MINUTES)
    asked = look_up(asked, arrival_delay(rows, readers, ["dest"], "dest"), ["dest"], SLOT_MINUTES)
    for name, (days, keys) in LATE_SHARES.items():
        asked = look_up(asked, late_share(rows, readers, keys, days, name), keys, DAY_MINUTES)
    return asked


def add_plan(asked: DataFrame, rows: DataFrame) -> DataFrame:
    """`asked` with the number of departures planned from its origin in the same hour."""
    hour = F.floor(F.col("departs_at") / 60).alias("plan_hour")
    plan = rows.groupBy("origin", hour).agg(F.count("*").alias("origin_planned"))
    here = asked.withColumn("plan_hour", hour)
    return here.join(F.broadcast(plan), ["origin", "plan_hour"], "left").drop("plan_hour")


def sampled(share: float) -> Column:
    """True for the flights of a sample, decided by what names the flight."""
    mark = F.xxhash64("departs_at", "carrier", "flight", "origin", "dest")
    return F.pmod(mark, F.lit(HASH_RANGE)) < int(share * HASH_RANGE)
