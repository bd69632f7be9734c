"""Runs in the spark image: a table to S3 and back, with one of S3A's committers."""

import json
import os
import sys

from pyspark.sql import SparkSession

committer, table = sys.argv[1:]
settings = {
    "spark.driver.memory": "1g",
    "spark.ui.enabled": "false",
    "spark.local.dir": "/tmp/spark",
    "spark.sql.shuffle.partitions": "2",
    "spark.hadoop.fs.s3a.endpoint": os.environ["AWS_ENDPOINT_URL"],
    "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
    "spark.hadoop.fs.s3a.path.style.access": "true",
    "spark.hadoop.fs.s3a.committer.name": committer,
    "spark.sql.sources.commitProtocolClass": (
        "org.apache.spark.internal.io.cloud.PathOutputCommitProtocol"
    ),
    "spark.sql.parquet.output.committer.class": (
        "org.apache.spark.internal.io.cloud.BindingParquetOutputCommitter"
    ),
}
builder = SparkSession.builder.master("local[2]")
for key, value in settings.items():
    builder = builder.config(key, value)
session = builder.getOrCreate()
context = session.sparkContext
rows = session.range(7000).selectExpr("id", "id % 7 AS part")
rows.repartition(2).write.mode("overwrite").partitionBy("part").parquet(table)
read = session.read.parquet(table)
# S3A's committers leave a report where the classic one leaves an empty file.
path = context._jvm.org.apache.hadoop.fs.Path(f"{table}/_SUCCESS")
files = path.getFileSystem(context._jsc.hadoopConfiguration())
stream = files.open(path)
report = json.loads(bytes(stream.readAllBytes()).decode())
stream.close()
moved = files.rename(path.getParent(), path.getParent().suffix("-moved"))
answer = {
    "rows": read.sparkSession.read.parquet(f"{table}-moved").count(),
    "parts": session.read.parquet(f"{table}-moved").select("part").distinct().count(),
    "committer": report["committer"],
    "moved": moved,
}
session.stop()
print(f"\nanswer: {json.dumps(answer)}", flush=True)
