"""A small pipeline with a step of each engine, control flow, and the ready components."""

import steps
from kfp import dsl

import headrace as hr


@dsl.pipeline(name="small", description="Counts words and judges them.")
def small(
    text: str = "it's one",
    epochs: int = 3,
    rates: list[float] = [0.1],  # noqa: B006
    share: float = 1.0,
):
    """Counts words and judges them.

    Args:
        text: What is read.
        epochs: How often.
        rates: Learning rates.
        share: How much of it.
    """
    table = steps.prepare(text=text, share=share)
    with dsl.ParallelFor(rates) as rate:
        trained = steps.train(table=table.outputs["table"], epochs=epochs, rate=rate)
    best = steps.choose(
        models=dsl.Collected(trained.outputs["model"]), names={"a": 1, "b": [f"{text}!"]}
    )
    with dsl.If(best.outputs["score"] > 0.5):
        judged = hr.evaluate(
            model=best.outputs["model"], data=table.outputs["table"], target="late"
        )
        version = hr.register(
            model=best.outputs["model"], name="words", metrics=judged.outputs["metrics"]
        )
        hr.promote(version=version.outputs["version"], gate="auc >= champion.auc")
        hr.serve(model="words").after(version)
