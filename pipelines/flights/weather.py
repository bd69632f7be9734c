"""The weather at the airport of departure, as last reported when the forecast is made."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from flights.journeys import minutes

REPORT_MINUTES = 60
"""A report filed under an hour may be from that hour's end: it counts as known only then."""

WIND_LIMIT = 100.0
"""Miles an hour; the tables hold one reading of 1048."""


def reports(weather: DataFrame) -> DataFrame:
    """One row per airport and hour, with the rain of the last hours."""
    hour = F.floor(minutes(F.col("time_hour")) / 60)
    past = Window.partitionBy("origin").orderBy(hour).rangeBetween(-5, Window.currentRow)
    speed = F.when(F.col("wind_speed") < WIND_LIMIT, F.col("wind_speed"))
    angle = F.radians("wind_dir")
    return weather.select(
        "origin",
        hour.alias("report_hour"),
        *("temp", "dewp", "humid", "wind_gust", "visib"),
        speed.alias("wind_speed"),
        (speed * F.cos(angle)).alias("wind_north"),
        (speed * F.sin(angle)).alias("wind_east"),
        F.sum("precip").over(past).alias("precip_6h"),
    )


def add_weather(asked: DataFrame, weather: DataFrame) -> DataFrame:
    """`asked` with the readings of the last report that was out by `asked_at`; null if none was."""
    known = F.floor((F.col("asked_at") - REPORT_MINUTES) / 60)
    return (
        asked.withColumn("report_hour", known)
        .join(F.broadcast(reports(weather)), ["origin", "report_hour"], "left")
        .drop("report_hour")
    )
