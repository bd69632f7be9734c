"""The pipeline: raw tables, features, training beside baselines, evaluation, promotion, serving."""

import headrace as hr
from kfp import dsl

from flights.baselines import baselines
from flights.features import features
from flights.tables import tables
from flights.train import train

GATE = "auc >= champion.auc and auc > baseline_logistic.auc and auc > baseline_rate.auc"


@dsl.pipeline(
    name="flights",
    description="Predict, before it departs, whether a flight from New York arrives late.",
)
def flights(
    epochs: int = 8,
    batch_size: int = 1024,
    learning_rate: float = 0.002,
    sample: float = 1.0,
):
    """From the raw tables to a served model.

    Args:
        epochs: Most epochs of training.
        batch_size: Rows per step, over all workers.
        learning_rate: The highest that training reaches.
        sample: Share of the flights to work with, above 0 and up to 1.
    """
    raw = tables()
    table = features(tables=raw.outputs["raw"], sample=sample)
    trained = train(
        table=table.outputs["table"],
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )
    compared = baselines(table=table.outputs["table"])
    measured = hr.evaluate(
        model=trained.outputs["model"],
        data=compared.outputs["held_out"],
        target="late",
        baselines=["baseline_logistic", "baseline_rate"],
        name="flight-delays",
    )
    version = hr.register(
        model=trained.outputs["model"],
        name="flight-delays",
        metrics=measured.outputs["metrics"],
    )
    promoted = hr.promote(version=version.outputs["version"], alias="champion", gate=GATE)
    hr.serve(model="flight-delays", alias="champion").after(promoted)
