"""From raw tables to a served model: `headrace run pipelines/flights`."""

from kfp import dsl

import headrace as hr
from flights.baselines import baselines
from flights.columns import TARGET
from flights.features import features
from flights.tables import tables
from flights.training import train

NAME = "flight-delays"

GATE = "auc >= champion.auc and auc > baseline_logistic.auc and auc > baseline_rate.auc"
"""The new model takes over if it is as good as the champion and better than both baselines."""


@dsl.pipeline(name="flights", description="Will a flight out of New York arrive 15 minutes late?")
def flights(
    epochs: int = 6,
    batch_size: int = 2048,
    learning_rate: float = 0.004,
    sample: float = 1.0,
    seed: int = 0,
    gate: str = GATE,
):
    """Train on January to September, test on November and December 2013.

    Args:
        epochs: Most passes over the training flights.
        batch_size: Flights per step, over both workers.
        learning_rate: Peak of the one-cycle schedule.
        sample: Share of the flights to use, for a quick look.
        seed: Of everything random in training.
        gate: What must hold of the figures before the model takes over.
    """
    raw = tables()
    table = features(tables=raw.outputs["raw"], sample=sample)
    trained = train(
        table=table.outputs["table"],
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    scored = baselines(table=table.outputs["table"])
    evaluated = hr.evaluate(
        model=trained.outputs["model"],
        data=scored.outputs["scored"],
        target=TARGET,
        baselines=["baseline_rate", "baseline_logistic"],
        name=NAME,
    )
    version = hr.register(
        model=trained.outputs["model"], name=NAME, metrics=evaluated.outputs["metrics"]
    )
    promoted = hr.promote(version=version.outputs["version"], alias="champion", gate=gate)
    hr.serve(model=NAME, alias="champion").after(promoted)
