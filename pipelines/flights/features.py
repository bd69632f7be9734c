"""Step: raw tables → a row per flight with what is known half an hour before it should leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kfp.dsl import Dataset, Input, Output

import headrace as hr

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PARTS = "CASE WHEN month <= 9 THEN 'train' WHEN month = 10 THEN 'validate' ELSE 'test' END"
"""In time's order: no part knows another's future."""

ONE_MACHINE = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    # Tables of this size are read and joined before the optimizing compiler pays for itself,
    # and re-planning each stage saves nothing: a third of the processor time goes.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
}
"""Spark's settings for 30 MB of tables."""


@hr.spark(executors=2, memory="2g", conf=ONE_MACHINE)
def features(
    spark: SparkSession, tables: Input[Dataset], table: Output[Dataset], sample: float = 1.0
) -> None:
    """Join, look back, and write Parquet in three parts: `part=train`, `validate` and `test`.

    Training goes to September, validation is October, the test November and December.

    Flights that were cancelled or diverted have no delay on arrival, hence no target: they
    are no rows of the result, though their waiting at the gate counts in the others' history.

    Args:
        spark: The session.
        tables: The raw tables, a CSV file each.
        table: Parquet files, a folder per part.
        sample: Share of the flights to keep, 0 to 1; the same ones each time. The history is
            always that of all flights.
    """
    from pyspark.sql import functions as F

    from flights.prepare import prepare

    rows = prepare(spark, tables.path, sample=sample)
    rows.withColumn("part", F.expr(PARTS)).write.partitionBy("part").parquet(table.path)
