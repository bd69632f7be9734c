"""Step: raw tables → a row per flight with what is known half an hour before it should leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import headrace as hr
from kfp.dsl import Dataset, Input, Output

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SPLITS = {"train": range(1, 10), "validate": range(10, 11), "test": range(11, 13)}
"""Months of each part, in time's order: no part knows another's future."""


@hr.spark(
    executors=2,
    memory="2g",
    conf={"spark.sql.session.timeZone": "UTC", "spark.sql.shuffle.partitions": "2"},
)
def features(
    spark: SparkSession, tables: Input[Dataset], table: Output[Dataset], sample: float = 1.0
) -> None:
    """Join, look back, split by month and write `train`, `validate` and `test` as Parquet.

    Flights that were cancelled or diverted have no delay on arrival, hence no target: they
    are no rows of the result, but their waiting at the gate counts for the others.

    Args:
        tables: The raw tables, a CSV file each.
        table: A folder of Parquet per part.
        sample: Share of the flights to keep, 0 to 1; the same ones each time. The history is
            always that of all flights.
    """
    from pathlib import Path
    from pyspark.sql.functions import expr as sql_expr

    from flights.prepare import prepare

    rows = prepare(spark, Path(tables.path), sample=sample).withColumn("part", sql_expr("CASE WHEN month <= 9 THEN 'train' WHEN month = 10 THEN 'validate' ELSE 'test' END"))
    rows.coalesce(2).write.partitionBy("part").parquet(table.path)
