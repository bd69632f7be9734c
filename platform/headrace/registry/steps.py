"""The bodies of the ready components that measure, register and promote a model.

Each can be called as the plain function that it is. What they need is imported when they
run: whoever only composes a pipeline pays for none of it.
"""

from pathlib import Path
from typing import NamedTuple

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output


class Registered(NamedTuple):
    """What `register` gives."""

    version: str
    """`models:/NAME/VERSION`."""


class Promoted(NamedTuple):
    """What `promote` gives, when the gate let the version pass."""

    promoted: bool
    """True; a gate that says no fails the step."""
    decision: dict  # type: ignore[type-arg]
    """Time, name, version, alias, gate, reasons, figures, and the champion there was before."""


def evaluate(
    model: Input[Model],
    data: Input[Dataset],
    target: str,
    metrics: Output[Metrics],
    report: Output[HTML],
    plot: Output[Artifact],
    task: str = "binary",
    baselines: list = [],  # type: ignore[type-arg]  # noqa: B006
    name: str = "",
    alias: str = "champion",
) -> None:
    """Measure a model on held-out data, beside baselines and the current champion.

    Args:
        model: Folder in MLflow's model format.
        data: Held-out rows: parquet or CSV, a file or a folder of files.
        target: The column that holds the truth.
        metrics: The model's figures by name, the champion's as `champion.NAME`, each
            baseline's as `COLUMN.NAME`.
        report: One page with a table and plots.
        plot: The plots alone, as PNG.
        task: `binary`, `multiclass` or `regression`.
        baselines: Columns of the data that hold other predictions to compare with.
        name: The registered model whose champion is measured too; empty for none.
        alias: The alias that the champion holds.
    """
    from headrace.registry import context, plots
    from headrace.registry import report as reports
    from headrace.registry.evaluating import evaluate_model
    from headrace.registry.scores import parse_task

    surroundings = context.current()
    found = evaluate_model(
        Path(model.path),
        Path(data.path),
        target=target,
        task=parse_task(task),
        baselines=baselines,
        name=name,
        alias=alias,
        tracking_uri=surroundings.tracking_uri,
    )
    for key, value in found.metrics.items():
        metrics.log_metric(key, value)
        print(f"{key} = {value:.4f}")
    for note in found.notes:
        print(note)
    image = plots.evaluation_plot(found)
    Path(plot.path).write_bytes(image)
    Path(report.path).write_text(reports.render(found, image, name=name), encoding="utf-8")


def register(model: Input[Model], name: str, metrics: Input[Metrics] = None) -> Registered:
    """Register a model; the same content registered again is the same version.

    Args:
        model: Folder in MLflow's model format.
        name: The registered model's name.
        metrics: Figures to keep with the version and for gates, such as those of `evaluate`.
            Figures that the run has for this model are kept without it.
    """
    from headrace.registry import context
    from headrace.registry.registering import register_model

    found = register_model(
        Path(model.path),
        name,
        context=context.current(),
        model_uri=model.uri,
        metrics=dict(metrics.metadata) if metrics is not None else {},
    )
    print(f"{found.uri} {'registered' if found.created else 'was registered before'}")
    return Registered(version=found.uri)


def promote(version: str, alias: str = "champion", gate: str = "auc >= champion.auc") -> Promoted:
    """Give an alias to a version if a gate on its figures says so.

    Args:
        version: `models:/NAME/VERSION`, as `register` gives it.
        alias: The alias.
        gate: Comparisons of figures joined by and, or, not. Comparisons with a champion pass
            while there is none. Empty for no gate.
    """
    from dataclasses import asdict

    from headrace.registry import context
    from headrace.registry.promoting import promote_version

    decision = promote_version(version, alias=alias, gate=gate, context=context.current())
    print(f"version {decision.version} is {alias}: {', '.join(decision.reasons) or 'no gate'}")
    shown = asdict(decision)
    shown["reasons"] = list(decision.reasons)
    return Promoted(promoted=True, decision=shown)
