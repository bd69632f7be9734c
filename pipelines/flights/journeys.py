"""Raw tables → one row per flight, with every moment on one clock.

All moments (`*_at`) are whole minutes since 1970-01-01 UTC: plain integers make "was this
known by then" a comparison, and sums of integers come out the same in any order.
"""

from __future__ import annotations

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from flights.columns import LATE_MINUTES, TARGET

NOTICE_MINUTES = 30
"""The forecast is made this long before the scheduled departure; what comes later is unknown."""

UNKNOWN_ZONE_MINUTES = 120
"""Taxi time assumed for the few airports whose time zone the tables lack: more than it takes,
so that such a landing counts as known too late rather than too early."""

INTEGER, DOUBLE, STRING, TIMESTAMP = (
    T.IntegerType(),
    T.DoubleType(),
    T.StringType(),
    T.TimestampType(),
)

NUMBERS = (INTEGER, DOUBLE)

COLUMNS: dict[str, dict[str, T.DataType]] = {
    "flights": {
        **dict.fromkeys(["year", "month", "day", "hour", "minute", "flight"], INTEGER),
        **dict.fromkeys(["carrier", "tailnum", "origin", "dest"], STRING),
        **dict.fromkeys(["dep_delay", "arr_time", "sched_arr_time", "arr_delay"], INTEGER),
        **dict.fromkeys(["air_time", "distance"], INTEGER),
        "time_hour": TIMESTAMP,
    },
    "weather": {
        "origin": STRING,
        "time_hour": TIMESTAMP,
        **dict.fromkeys(["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust"], DOUBLE),
        **dict.fromkeys(["precip", "visib"], DOUBLE),
    },
    "planes": {"tailnum": STRING, "year": INTEGER, "seats": INTEGER},
    "airports": {"faa": STRING, "tzone": STRING},
}
"""What is read of each table."""


def read_table(spark: SparkSession, folder: str, table: str) -> DataFrame:
    """The needed columns of one CSV table, with their types.

    Args:
        spark: The session, which alone opens files: they may lie in an object store.
        folder: A path or URI that Spark reads.
        table: The file's name without its ending.

    Raises:
        FileNotFoundError: The folder has no such table.
        ValueError: The table lacks a column; the message names it.

    What cannot be read as a number fails when the rows are read, not silently as null.
    """
    file = f"{folder}/{table}.csv"
    header = header_of(spark, folder, table)
    wanted = COLUMNS[table]
    if missing := [name for name in wanted if name not in header]:
        raise ValueError(
            f"table {table!r} has no column {', '.join(map(repr, missing))}: {file} has "
            f"{', '.join(header)}"
        )
    # Whole numbers are read as doubles: other writers put "517.0" where some value is missing.
    schema = T.StructType(
        [T.StructField(name, DOUBLE if wanted.get(name) in NUMBERS else STRING) for name in header]
    )
    rows = spark.read.csv(file, schema=schema, header=True, nullValue="NA", mode="FAILFAST")
    return rows.select(*(F.col(name).cast(kind).alias(name) for name, kind in wanted.items()))


def header_of(spark: SparkSession, folder: str, table: str) -> list[str]:
    """The columns that the first line of a table names."""
    file = f"{folder}/{table}.csv"
    try:
        return spark.read.csv(file, header=True).columns
    except AnalysisException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        there = ", ".join(file_names(spark, folder)) or "nothing"
        raise FileNotFoundError(
            f"no table {table!r}: {file} is not there (found: {there})"
        ) from error


def file_names(spark: SparkSession, folder: str) -> list[str]:
    """The names of the files in a folder; none if there is no such folder."""
    try:
        files = spark.read.format("binaryFile").load(folder).select("path").collect()
    except AnalysisException:
        return []
    return sorted(one.path.rpartition("/")[2] for one in files)


def minutes(moment: Column) -> Column:
    """A timestamp as whole minutes since 1970."""
    return F.floor(F.unix_timestamp(moment) / 60)


def next_time(clock: Column, after: Column, offset: Column) -> Column:
    """The first moment from `after` on at which local clocks show `clock` (1345 is 13:45)."""
    of_day = F.floor(clock / 100) * 60 + clock % 100
    return after + F.pmod(of_day - after - offset, F.lit(24 * 60))


def journeys(flights: DataFrame, planes: DataFrame, airports: DataFrame) -> DataFrame:
    """One row per flight: its schedule, its plane, and when what became known.

    `departed_at` and `landed_at` are null for a flight that never departed or never arrived
    at its destination (cancelled, diverted).
    """
    zones = airports.select(F.col("faa").alias("dest"), "tzone")
    built = planes.select("tailnum", F.col("year").alias("built"), "seats")
    departs = minutes(F.col("time_hour")) + F.col("minute")
    moment = F.timestamp_seconds(departs * 60)
    offset = minutes(F.from_utc_timestamp(moment, F.col("tzone"))) - departs
    rows = (
        flights.join(F.broadcast(zones), "dest", "left")
        .join(F.broadcast(built), "tailnum", "left")
        .withColumns({"departs_at": departs, "offset": offset})
        .withColumn("asked_at", F.col("departs_at") - NOTICE_MINUTES)
        .withColumn("departed_at", F.col("departs_at") + F.col("dep_delay"))
    )
    return rows.withColumns(
        {
            "arrives_at": next_time(F.col("sched_arr_time"), F.col("departs_at"), F.col("offset")),
            "landed_at": F.coalesce(
                next_time(F.col("arr_time"), F.col("departed_at"), F.col("offset")),
                F.col("departed_at") + F.col("air_time") + UNKNOWN_ZONE_MINUTES,
            ),
            "weekday": F.weekday(F.make_date("year", "month", "day")),
            "plane_age": F.col("year") - F.col("built"),
            TARGET: (F.col("arr_delay") >= LATE_MINUTES).cast("int"),
        }
    ).withColumn("planned_minutes", F.col("arrives_at") - F.col("departs_at"))
