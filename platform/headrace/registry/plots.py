"""Plots of an evaluation, as PNG. The only door to matplotlib.

Colours are those of Okabe and Ito, which people tell apart whatever colours they see; line
styles and markers say the same again.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.registry.scores import Task, calibration, is_probability

if TYPE_CHECKING:
    from headrace.registry.evaluating import Contender, Evaluation

# matplotlib's annotations are narrower than what it takes.
Axes = Any
Figure = Any
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), "-")
_MARKERS = "osD^vPX"
_GREY = "#767676"
_DPI = 120
_MOST_POINTS = 1000
_MOST_CLASSES_WITH_NUMBERS = 15


def evaluation_plot(evaluation: Evaluation) -> bytes:
    """Three panels (two where there is no third thing to see) that show an evaluation."""
    match evaluation.task:
        case Task.BINARY:
            figure, axes = _figure(3, f"{evaluation.target}: {_rows(evaluation)}")
            _draw_calibration(axes[0], evaluation.contenders, evaluation.truth)
            _draw_roc(axes[1], evaluation)
            _draw_precision_recall(axes[2], evaluation)
        case Task.MULTICLASS:
            figure, axes = _figure(2, f"{evaluation.target}: {_rows(evaluation)}")
            _draw_confusion(axes[0], figure, evaluation)
            _draw_confidence(axes[1], evaluation)
        case Task.REGRESSION:
            figure, axes = _figure(2, f"{evaluation.target}: {_rows(evaluation)}")
            _draw_values(axes[0], evaluation)
            _draw_errors(axes[1], evaluation)
    return _png(figure)


def classification_plot(metadata: Mapping[str, Any]) -> bytes | None:
    """The ROC curve and confusion matrix of KFP's ClassificationMetrics; None if it has neither.

    Args:
        metadata: Of the artifact, as the KFP SDK's methods fill it.
    """
    points, matrix = metadata.get("confidenceMetrics"), metadata.get("confusionMatrix")
    panels = [one for one in (points, matrix) if one]
    if not panels:
        return None
    figure, axes = _figure(len(panels), "Classification metrics")
    if points:
        ordered = sorted((one["falsePositiveRate"], one["recall"]) for one in points)
        axes[0].plot(*zip(*ordered, strict=True), color=_COLOURS[0], marker="o", markersize=3)
        _dress_roc(axes[0])
    if matrix:
        names = [one["displayName"] for one in matrix["annotationSpecs"]]
        counts = np.array([one["row"] for one in matrix["rows"]], dtype=float)
        _draw_matrix(axes[-1], figure, counts, names)
    return _png(figure)


def _figure(panels: int, title: str) -> tuple[Figure, Sequence[Axes]]:
    # Not pyplot: it keeps every figure and asks for a display.
    from matplotlib import figure as figures

    figure = figures.Figure(figsize=(5.0 * panels, 4.9), layout="constrained", dpi=_DPI)
    figure.suptitle(title, fontsize=13)
    return figure, np.atleast_1d(figure.subplots(1, panels)).tolist()


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without the date and version that matplotlib writes, equal plots are equal files.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _rows(evaluation: Evaluation) -> str:
    text = f"{len(evaluation.truth):,} held-out rows"
    if evaluation.task is Task.BINARY:
        text += f", {np.mean(evaluation.truth):.1%} positive"
    return text


def _style(index: int) -> dict[str, Any]:
    colour, line = _COLOURS[index % len(_COLOURS)], _LINES[index % len(_LINES)]
    return {"color": colour, "linestyle": line, "linewidth": 2.2 if index == 0 else 1.6}


def _dress(axes: Axes, title: str, x: str, y: str, *, legend: str = "") -> None:
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if legend:
        axes.legend(loc=legend, fontsize=8.5, framealpha=0.9)


def _draw_calibration(axes: Axes, contenders: Sequence[Contender], truth: NDArray[Any]) -> None:
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle=(0, (2, 2)), label="perfect")
    for index, one in enumerate(contenders):
        scores = one.prediction.scores
        if scores is None or not is_probability(scores):
            continue
        mean, rate, count = calibration(truth, scores)
        axes.plot(mean, rate, **_style(index), label=f"{one.label}, ECE {one.figures['ece']:.3f}")
        # A bin's area shows how many rows stand behind it.
        sizes = 12 + 120 * count / count.max()
        mark = {"marker": _MARKERS[index % len(_MARKERS)], "color": _COLOURS[index % len(_COLOURS)]}
        axes.scatter(mean, rate, s=sizes, alpha=0.55, linewidths=0, **mark)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    _dress(axes, "Calibration", "predicted probability", "observed rate", legend="upper left")


def _draw_roc(axes: Axes, evaluation: Evaluation) -> None:
    from sklearn.metrics import roc_curve

    for index, one in enumerate(evaluation.contenders):
        wrong, right, _ = roc_curve(evaluation.truth, one.prediction.scores)
        wrong, right = _thinned(wrong, right)
        axes.plot(wrong, right, **_style(index), label=f"{one.label}, AUC {one.figures['auc']:.3f}")
    _dress_roc(axes, legend="lower right")


def _dress_roc(axes: Axes, *, legend: str = "") -> None:
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle=(0, (2, 2)))
    _dress(axes, "ROC curve", "false positive rate", "true positive rate", legend=legend)


def _draw_precision_recall(axes: Axes, evaluation: Evaluation) -> None:
    from sklearn.metrics import precision_recall_curve

    rate = float(np.mean(evaluation.truth))
    axes.axhline(rate, color=_GREY, linewidth=1, linestyle=(0, (2, 2)), label=f"chance, {rate:.3f}")
    for index, one in enumerate(evaluation.contenders):
        precision, recall, _ = precision_recall_curve(evaluation.truth, one.prediction.scores)
        recall, precision = _thinned(recall, precision)
        label = f"{one.label}, AP {one.figures['average_precision']:.3f}"
        axes.plot(recall, precision, **_style(index), label=label)
    axes.set_ylim(0, 1.03)
    _dress(axes, "Precision and recall", "recall", "precision", legend="upper right")


def _draw_confusion(axes: Axes, figure: Figure, evaluation: Evaluation) -> None:
    from sklearn.metrics import confusion_matrix

    labels = evaluation.contenders[0].prediction.labels
    assert labels is not None
    names = np.unique(np.concatenate([evaluation.truth, labels]))
    counts = confusion_matrix(evaluation.truth, labels, labels=names).astype(float)
    _draw_matrix(axes, figure, counts, [str(name) for name in names])


def _draw_matrix(axes: Axes, figure: Figure, counts: NDArray[Any], names: list[str]) -> None:
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the row")
    places = range(len(names))
    axes.set_xticks(places, names, rotation=45 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(places, names)
    if len(names) <= _MOST_CLASSES_WITH_NUMBERS:
        for row in places:
            for column in places:
                colour = "black" if share[row, column] > 0.5 else "white"
                value = f"{counts[row, column]:g}"
                size = 9 if len(names) > 5 else 11
                axes.text(column, row, value, ha="center", va="center", color=colour, size=size)
    axes.set_title("Confusion matrix", fontsize=11)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")


def _draw_confidence(axes: Axes, evaluation: Evaluation) -> None:
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle=(0, (2, 2)), label="perfect")
    known = False
    for index, one in enumerate(evaluation.contenders):
        probabilities, labels = one.prediction.probabilities, one.prediction.labels
        if probabilities is None or labels is None:
            continue
        known = True
        right = (labels == evaluation.truth).astype(float)
        mean, rate, count = calibration(right, np.clip(probabilities.max(axis=1), 0.0, 1.0))
        label = f"{one.label}, accuracy {one.figures['accuracy']:.3f}"
        axes.plot(mean, rate, **_style(index), label=label)
        mark = {"marker": _MARKERS[index % len(_MARKERS)], "color": _COLOURS[index % len(_COLOURS)]}
        axes.scatter(mean, rate, s=12 + 120 * count / count.max(), alpha=0.55, linewidths=0, **mark)
    if not known:
        axes.text(0.5, 0.5, "the model gives no probabilities", ha="center", color=_GREY)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    _dress(axes, "Confidence", "probability of the predicted class", "share that is right",
           legend="upper left")  # fmt: skip


def _draw_values(axes: Axes, evaluation: Evaluation) -> None:
    model = evaluation.contenders[0]
    assert model.prediction.values is not None
    truth, values = evaluation.truth, model.prediction.values
    if len(truth) > _MOST_POINTS:
        axes.hexbin(truth, values, gridsize=40, bins="log", cmap="cividis", mincnt=1)
    else:
        axes.scatter(truth, values, s=14, alpha=0.5, color=_COLOURS[0], linewidths=0)
    ends = [min(truth.min(), values.min()), max(truth.max(), values.max())]
    axes.plot(ends, ends, color=_COLOURS[1], linewidth=1.2, linestyle="--")
    _dress(axes, f"{model.label}, R² {model.figures['r2']:.3f}", evaluation.target, "predicted")


def _draw_errors(axes: Axes, evaluation: Evaluation) -> None:
    errors = [
        one.prediction.values - evaluation.truth
        for one in evaluation.contenders
        if one.prediction.values is not None
    ]
    ends = np.quantile(np.concatenate(errors), [0.005, 0.995])
    wide = 0.0 if ends[1] > ends[0] else 1.0
    edges = np.linspace(ends[0] - wide, ends[1] + wide, 41)
    for index, (one, error) in enumerate(zip(evaluation.contenders, errors, strict=True)):
        axes.hist(error, edges, histtype="step", **_style(index),
                  label=f"{one.label}, RMSE {one.figures['rmse']:.3g}")  # fmt: skip
    axes.margins(y=0.25)  # room for the legend
    _dress(axes, "Errors", "predicted minus true", "rows", legend="upper right")


def _thinned(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """At most a thousand points, both ends among them: a screen shows no more."""
    if len(x) <= _MOST_POINTS:
        return x, y
    chosen = np.linspace(0, len(x) - 1, _MOST_POINTS).round().astype(int)
    return x[chosen], y[chosen]
