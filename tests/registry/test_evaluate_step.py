"""`evaluate` measures a model beside baselines and the champion, and shows it.

- figures of all of them, on the same rows, under names that gates can use
- a champion that cannot predict on this data is said, and stops nothing
- a plot and a page that needs nothing beside it
- missing columns and targets that do not fit the task are clear errors
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kfp.dsl import HTML, Artifact, Dataset, Metrics, Model

from headrace.core.errors import UsageError
from headrace.registry import steps

pytestmark = pytest.mark.engine

COLUMNS = ["hour", "wind", "distance"]
BINARY = {"auc", "average_precision", "brier", "log_loss", "ece"}


class Evaluated:
    """Calls `evaluate` and holds what it wrote."""

    def __init__(self, folder: Path, model: Path, data: Path, **options: Any) -> None:
        self.metrics = Metrics(uri=str(folder / "metrics"))
        self.report = HTML(uri=str(folder / "report"))
        self.plot = Artifact(uri=str(folder / "plot"))
        steps.evaluate(
            Model(uri=str(model)),
            Dataset(uri=str(data)),
            options.pop("target", "late"),
            self.metrics,
            self.report,
            self.plot,
            **options,
        )
        self.figures: dict[str, float] = dict(self.metrics.metadata)
        self.page = (folder / "report").read_text()
        self.image = (folder / "plot").read_bytes()


@pytest.fixture
def held_out(tmp_path: Path) -> pd.DataFrame:
    numbers = np.random.default_rng(1)
    table = pd.DataFrame(numbers.normal(size=(400, 3)), columns=COLUMNS)
    table["late"] = (numbers.random(400) < 0.3).astype(int)
    table["carrier_rate"] = np.clip(0.3 + 0.3 * (table.late - 0.3), 0, 1)
    table.to_parquet(tmp_path / "held-out")
    return table


@pytest.fixture
def evaluate(
    step_of: Callable[..., Any], tmp_path: Path, save_model: Callable[..., Path]
) -> Callable[..., Evaluated]:
    step_of()
    save_model(tmp_path / "model", COLUMNS)

    def call(**options: Any) -> Evaluated:
        model = options.pop("model", tmp_path / "model")
        return Evaluated(tmp_path, model, tmp_path / "held-out", **options)

    return call


def test_a_model_is_measured_beside_its_baselines(
    held_out: pd.DataFrame, evaluate: Callable[..., Evaluated]
) -> None:
    found = evaluate(baselines=["carrier_rate"], name="flight-delays")
    assert set(found.figures) == BINARY | {f"carrier_rate.{name}" for name in BINARY}
    assert found.figures["carrier_rate.auc"] == 1.0
    assert 0.3 < found.figures["auc"] < 0.7


def test_the_page_needs_nothing_beside_it_and_the_plot_is_a_png(
    held_out: pd.DataFrame, evaluate: Callable[..., Evaluated]
) -> None:
    found = evaluate(baselines=["carrier_rate"], name="flight-<delays>")
    assert found.image.startswith(b"\x89PNG")
    assert set(re.findall(r'(?:src|href)="([^:]+):', found.page)) == {"data"}
    assert "<h1>Evaluation of flight-&lt;delays&gt;</h1>" in found.page
    assert "Binary target late, measured on 400 held-out rows." in found.page
    rows = re.findall(r"<tr><td>(.*?)</td>", found.page)
    assert rows == ["model", "baseline carrier_rate"]
    assert f"<td class=best>{found.figures['carrier_rate.auc']:.4f}</td>" in found.page


def test_the_champion_is_measured_on_the_same_rows(
    held_out: pd.DataFrame,
    evaluate: Callable[..., Evaluated],
    save_model: Callable[..., Path],
    tmp_path: Path,
) -> None:
    other = save_model(tmp_path / "other", COLUMNS, seed=5)
    registered = steps.register(Model(uri=str(other)), "flight-delays")
    steps.promote(registered.version, gate="")
    own = evaluate(model=other, name="")
    found = evaluate(name="flight-delays")
    assert {name: found.figures[f"champion.{name}"] for name in BINARY} == own.figures
    assert found.figures["champion.version"] == 1.0
    assert re.findall(r"<tr><td>(.*?)</td>", found.page) == ["model", "champion (version 1)"]


def test_a_champion_that_cannot_predict_on_this_data_is_said(
    held_out: pd.DataFrame,
    evaluate: Callable[..., Evaluated],
    save_model: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = save_model(tmp_path / "old", ["hour", "wind", "gusts"])
    steps.promote(steps.register(Model(uri=str(old)), "flight-delays").version, gate="")
    found = evaluate(name="flight-delays")
    assert set(found.figures) == BINARY
    said = (
        "The champion, version 1 of flight-delays, could not be measured on this data: "
        "The data has no column 'gusts', which the model takes."
    )
    assert said in capsys.readouterr().out
    assert said.replace("'", "&#x27;") in found.page


def test_rows_without_a_target_are_left_out_and_that_is_said(
    held_out: pd.DataFrame, evaluate: Callable[..., Evaluated], tmp_path: Path
) -> None:
    held_out["late"] = held_out["late"].astype("Int64").where(held_out.index >= 30)
    held_out.to_parquet(tmp_path / "held-out")
    assert "30 of 400 rows have no late and were left out." in evaluate().page


def test_many_classes(
    step_of: Callable[..., Any], save_model: Callable[..., Path], tmp_path: Path
) -> None:
    step_of()
    numbers = np.random.default_rng(2)
    table = pd.DataFrame(numbers.normal(size=(90, 3)), columns=COLUMNS)
    table["digit"], table["guess"] = numbers.integers(0, 3, 90), 1
    table.to_csv(tmp_path / "held-out", index=False)
    model = save_model(tmp_path / "model", COLUMNS, classes=3)
    found = Evaluated(
        tmp_path, model, tmp_path / "held-out",
        target="digit", task="multiclass", baselines=["guess"],
    )  # fmt: skip
    assert set(found.figures) == {
        "accuracy", "macro_f1", "log_loss", "guess.accuracy", "guess.macro_f1"
    }  # fmt: skip
    assert found.image.startswith(b"\x89PNG")


def test_a_number(
    held_out: pd.DataFrame, evaluate: Callable[..., Evaluated], tmp_path: Path
) -> None:
    found = evaluate(task="regression", baselines=["carrier_rate"])
    own = {"rmse", "mae", "r2"}
    assert set(found.figures) == own | {f"carrier_rate.{name}" for name in own}
    assert found.image.startswith(b"\x89PNG")


def test_equal_evaluations_write_equal_files(
    held_out: pd.DataFrame, evaluate: Callable[..., Evaluated]
) -> None:
    first, second = evaluate(baselines=["carrier_rate"]), evaluate(baselines=["carrier_rate"])
    assert (first.image, first.page) == (second.image, second.page)


@pytest.mark.parametrize(
    ("options", "what", "hint"),
    [
        ({"target": "lat"}, "The data has no column 'lat'.", "Did you mean 'late'?"),
        (
            {"baselines": ["carrier_rat"]},
            "The data has no column 'carrier_rat'.",
            "Did you mean 'carrier_rate'?",
        ),
        (
            {"target": "wind"},
            "The target 'wind' must hold 0 and 1, both of them, and holds",
            "choose task='multiclass' or task='regression'",
        ),
        (
            {"task": "binry"},
            "There is no task 'binry' to evaluate.",
            "Did you mean 'binary'?",
        ),
    ],
)
def test_what_does_not_fit_is_a_clear_error(
    held_out: pd.DataFrame,
    evaluate: Callable[..., Evaluated],
    options: dict[str, Any],
    what: str,
    hint: str,
) -> None:
    with pytest.raises(UsageError) as caught:
        evaluate(**options)
    assert caught.value.what.startswith(what)
    assert caught.value.hint == hint


def test_a_baseline_with_gaps_is_an_error(
    held_out: pd.DataFrame, evaluate: Callable[..., Evaluated], tmp_path: Path
) -> None:
    held_out.loc[:4, "carrier_rate"] = None
    held_out.to_parquet(tmp_path / "held-out")
    with pytest.raises(UsageError, match="says nothing for 5 of 400 rows"):
        evaluate(baselines=["carrier_rate"])


def test_a_target_with_one_outcome_is_an_error(
    held_out: pd.DataFrame, evaluate: Callable[..., Evaluated], tmp_path: Path
) -> None:
    held_out.assign(late=0).to_parquet(tmp_path / "held-out")
    with pytest.raises(UsageError) as caught:
        evaluate()
    assert caught.value.hint == "choose rows that hold both outcomes"


def test_a_column_that_the_model_takes_and_the_data_lacks_is_an_error(
    held_out: pd.DataFrame, evaluate: Callable[..., Evaluated], tmp_path: Path
) -> None:
    held_out.rename(columns={"wind": "winds"}).to_parquet(tmp_path / "held-out")
    with pytest.raises(UsageError) as caught:
        evaluate()
    assert caught.value.what == "The data has no column 'wind', which the model takes."
    assert caught.value.hint == "Did you mean 'winds'?"
