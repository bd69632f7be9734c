"""The pipeline: one network per learning rate, side by side; the best is kept if it is good."""

from kfp import dsl

import headrace as hr
from digits import data, training


@dsl.pipeline(
    name="digits",
    description="Train a network per learning rate, keep the best, register it if it is good.",
)
def digits(epochs: int = 12, dropout: float = 0.25, least_accuracy: float = 0.95) -> None:
    """Train, choose and register.

    Args:
        epochs: How often each network sees the training part.
        dropout: Share of the activations that are dropped while training.
        least_accuracy: Accuracy on the validation part below which nothing is registered.
    """
    parts = data.split()
    with dsl.ParallelFor([0.1, 0.03, 0.003], name="rates") as rate:
        trained = training.train(
            train=parts.outputs["train"],
            validate=parts.outputs["validate"],
            learning_rate=rate,
            epochs=epochs,
            dropout=dropout,
        )
    best = training.choose(
        models=dsl.Collected(trained.outputs["model"]),
        accuracies=dsl.Collected(trained.outputs["accuracy"]),
    )
    enough = training.enough(accuracy=best.outputs["accuracy"], least=least_accuracy)
    with dsl.If(enough.output == True, name="good-enough"):  # noqa: E712  (KFP overloads ==)
        measured = hr.evaluate(
            model=best.outputs["model"],
            data=parts.outputs["test"],
            target="digit",
            task="multiclass",
            name="digits",
        )
        version = hr.register(
            model=best.outputs["model"], name="digits", metrics=measured.outputs["metrics"]
        )
        hr.promote(
            version=version.outputs["version"],
            alias="champion",
            gate="accuracy >= champion.accuracy",
        )
