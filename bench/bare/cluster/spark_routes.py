"""Flights per route: as a step of Headrace's, and for spark-submit. The work is the same."""

import sys

from kfp.dsl import Dataset, Input, Output

import headrace as hr


def work(spark, raw: str, table: str) -> None:
    """Count, rank and name the routes of each month, and write Parquet."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    def spelt(origin: str, dest: str) -> str:
        return f"{origin}-{dest}"

    rows = spark.read.csv(f"{raw}/flights.csv", header=True, inferSchema=True, nullValue="NA")
    routes = rows.groupBy("month", "origin", "dest").agg(
        F.count("*").alias("flights"), F.avg("arr_delay").alias("delay")
    )
    ranked = routes.withColumn(
        "rank", F.rank().over(Window.partitionBy("month").orderBy(F.desc("flights")))
    )
    named = ranked.withColumn("route", F.udf(spelt, "string")("origin", "dest"))
    named.write.partitionBy("month").parquet(table)


@hr.spark(executors=2, memory="1g", conf={"spark.sql.shuffle.partitions": "4"})
def routes(spark, raw: Input[Dataset], table: Output[Dataset]) -> None:
    """The step."""
    work(spark, raw.path, table.path)


if __name__ == "__main__":
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    work(session, *sys.argv[1:])
    session.stop()
