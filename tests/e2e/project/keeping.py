"""From a table to a served model in plain steps: what a backup has to bring back."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output

import headrace as hr


@hr.step
def table(rows: Output[Dataset], count: int) -> None:
    """A CSV file of x and y = 3x + 1."""
    with open(rows.path, "w") as out:
        out.write("x,y\n")
        out.writelines(f"{number},{3 * number + 1}\n" for number in range(count))


@hr.step
def fit(rows: Input[Dataset], model: Output[Model]) -> None:
    """A line through it."""
    import mlflow.sklearn
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    found = pd.read_csv(rows.path, dtype="float64")
    line = LinearRegression().fit(found[["x"]], found["y"])
    mlflow.sklearn.save_model(
        line, model.path, signature=infer_signature(found[["x"]], line.predict(found[["x"]])),
        serialization_format="pickle",
    )  # fmt: skip


@dsl.pipeline(name="keeping")
def keeping(count: int = 100) -> None:
    """Fit, register, promote, serve."""
    line = fit(rows=table(count=count).outputs["rows"])
    version = hr.register(model=line.outputs["model"], name="lines")
    promoted = hr.promote(version=version.outputs["version"], gate="")
    served = hr.serve(model="lines", cpu="50m", memory="600Mi", max_replicas=2)
    served.after(promoted)
