"""A run like flights in small: a table, Spark over it, training on Ray, a look at the result."""

from typing import TYPE_CHECKING

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

import headrace as hr

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@hr.step
def table(raw: Output[Dataset], rows: int) -> None:
    """A CSV file of x and y = 3x + 1."""
    with open(raw.path, "w") as out:
        out.write("x,y\n")
        for number in range(rows):
            x = number / rows
            out.write(f"{x},{3 * x + 1}\n")


@hr.spark(executors=2, memory="700m")
def prepare(
    spark: "SparkSession", raw: Input[Dataset], clean: Output[Dataset], seconds: int = 0
) -> int:
    """Parquet of the table, squares added; each partition takes a while."""
    from pyspark.sql import functions as F

    def dawdle(batches):
        import time

        time.sleep(seconds)
        yield from batches

    rows = spark.read.csv(raw.path, header=True, inferSchema=True).repartition(4, "x")
    slow = rows.mapInPandas(dawdle, rows.schema)
    slow.withColumn("xx", F.col("x") * F.col("x")).write.parquet(clean.path)
    return spark.read.parquet(clean.path).count()


@hr.ray(workers=2, cpus_per_worker=0.25)
def train(
    clean: Input[Dataset], model: Output[Model], metrics: Output[Metrics], epochs: int,
    seconds: float = 0.0,
) -> int:  # fmt: skip
    """A line by gradient descent, the same on every worker; a checkpoint after each epoch."""
    import json
    import tempfile
    import time
    from pathlib import Path

    import pyarrow.parquet as parquet
    import ray.train
    from ray.train import Checkpoint

    rows = parquet.read_table(clean.path).to_pandas().sort_values("x")
    slope, offset, first = 0.0, 0.0, 0
    if (found := ray.train.get_checkpoint()) is not None:
        with found.as_directory() as folder:
            slope, offset, first = json.loads(Path(folder, "line.json").read_text())
    for epoch in range(first, epochs):
        for _ in range(200):
            error = slope * rows.x + offset - rows.y
            slope -= 0.5 * float((error * rows.x).mean())
            offset -= 0.5 * float(error.mean())
        time.sleep(seconds)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "line.json").write_text(json.dumps([slope, offset, epoch + 1]))
            ray.train.report({"slope": slope}, checkpoint=Checkpoint.from_directory(folder))
    if ray.train.get_context().get_world_rank() == 0:
        Path(model.path).write_text(json.dumps([slope, offset]))
        metrics.log_metric("slope", slope)
        metrics.log_metric("first_epoch", first)
    return epochs


@hr.step
def look(model: Input[Model], note: str) -> str:
    """The line, rounded."""
    import json
    from pathlib import Path

    slope, offset = json.loads(Path(model.path).read_text())
    return f"{note}: {slope:.2f} x + {offset:.2f}"


@dsl.pipeline(name="stages")
def stages(
    rows: int = 1000, epochs: int = 3, spark_seconds: int = 0, ray_seconds: float = 0.0,
    note: str = "line",
) -> str:  # fmt: skip
    raw = table(rows=rows)
    clean = prepare(raw=raw.outputs["raw"], seconds=spark_seconds)
    trained = train(clean=clean.outputs["clean"], epochs=epochs, seconds=ray_seconds)
    return look(model=trained.outputs["model"], note=note).output
