"""digits: parts that do not overlap, networks that learn, and the best one kept."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from digits.data import split
from digits.training import choose, enough, train


@pytest.fixture
def parts(artifact):
    made = {name: artifact(name) for name in ("train", "validate", "test")}
    split(**made)
    return made


def test_every_digit_is_in_one_part_and_alike_in_each(parts):
    frames = {name: pd.read_parquet(part.path) for name, part in parts.items()}

    assert {name: len(frame) for name, frame in frames.items()} == {
        "train": 1078,
        "validate": 359,
        "test": 360,
    }
    assert {name: part.metadata["rows"] for name, part in parts.items()} == {
        name: len(frame) for name, frame in frames.items()
    }
    whole = pd.concat(frames.values())
    assert not whole.duplicated().any()
    for frame in frames.values():
        share = frame.digit.value_counts(normalize=True)
        assert (share.sub(0.1).abs() < 0.01).all()


def test_the_best_model_is_kept_the_first_of_equals(artifact):
    models = []
    for rate in ("0.1", "0.03", "0.003"):
        one = artifact(f"model-{rate}")
        Path(one.path).mkdir()
        Path(one.path, "rate").write_text(rate)
        one.metadata["learning_rate"] = float(rate)
        models.append(one)
    best = artifact("best")

    chosen = choose(models=models, accuracies=[0.91, 0.97, 0.97], model=best)

    assert chosen.accuracy == 0.97
    assert Path(best.path, "rate").read_text() == "0.03"
    assert best.metadata == {"learning_rate": 0.03}


def test_good_enough_includes_the_limit():
    assert [enough(accuracy=one, least=0.95) for one in (0.94, 0.95, 0.96)] == [False, True, True]


@pytest.mark.engine
def test_a_network_learns_and_its_model_gives_probabilities(parts, artifact, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    model = artifact("model")

    trained = train(
        train=parts["train"], validate=parts["validate"], model=model, learning_rate=0.1, epochs=6
    )

    rows = pd.read_parquet(parts["test"].path)
    loaded = mlflow.pyfunc.load_model(model.path)
    scores = loaded.predict(rows.drop(columns="digit").to_numpy("float32"))
    assert trained.accuracy > 0.8
    assert (scores.argmax(1) == rows.digit).mean() > 0.8
    assert scores.sum(1) == pytest.approx(1, abs=1e-4)
