"""Steps of the small pipeline."""

from typing import List, NamedTuple  # noqa: UP035

from kfp.dsl import Dataset, Input, Model, Output
from words import count

import headrace as hr


class Choice(NamedTuple):
    """What `choose` returns."""

    score: float
    """Of the best."""


@hr.spark(executors=2, memory="1g", conf={"spark.sql.ansi.enabled": "true"})
def prepare(spark, text: str, share: float, table: Output[Dataset]):
    """Counts the words of a text."""
    spark.createDataFrame(count(text)).sample(share).write.parquet(table.path)


@hr.ray(workers=2, max_failures=1, retries=2)
def train(table: Input[Dataset], epochs: int, rate: float, model: Output[Model]):
    """Trains on the table."""
    import ray.train

    for epoch in range(epochs):
        ray.train.report({"epoch": epoch, "rate": rate})


@hr.step(memory="1G", cpus=0.5)
def choose(
    models: Input[List[Model]],  # noqa: UP006
    names: dict,
    model: Output[Model],
    floor: float = 0.0,
) -> Choice:
    """Chooses the best of the models."""
    return Choice(score=max(floor, len(names) / len(models)))
