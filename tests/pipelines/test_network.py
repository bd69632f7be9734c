"""The network takes raw columns as they come, and its state brings back all of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flights.columns import CATEGORICAL, FEATURES, NUMERIC

from .conftest import flights_table

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def network():
    import torch

    from flights.learning import Settings, first_network

    torch.manual_seed(0)
    rows = flights_table(300)
    settings = Settings(epochs=1, batch_size=64, learning_rate=0.01, hidden=16, dropout=0.5, seed=3)
    made = first_network(rows, settings)
    made.fit_scales(made.encode(rows)[1])
    return made


def test_unknown_and_missing_categories_share_a_code(network):
    rows = flights_table(3)
    rows["carrier"] = ["UA", "ZZ", None]

    codes, _ = network.encode(rows)

    assert codes[:, CATEGORICAL.index("carrier")].tolist() == [3, 0, 0]


def test_whole_numbers_may_come_as_floats(network):
    rows = flights_table(20)

    codes, _ = network.encode(rows)
    as_floats, _ = network.encode(rows.astype({"hour": "float64", "weekday": "float64"}))

    assert codes.equal(as_floats)


def test_missing_numbers_and_missing_columns_are_the_same(network):
    rows = flights_table(5)
    nulls = rows.assign(temp=np.nan, seats=None)

    assert np.array_equal(
        network.predict(nulls), network.predict(rows.drop(columns=["temp", "seats"]))
    )


def test_a_row_with_nothing_but_its_categories_gets_a_probability(network):
    rows = flights_table(1)[list(CATEGORICAL)]

    (score,) = network.predict(rows)

    assert 0 < score < 1


def test_a_rows_score_does_not_depend_on_its_neighbours(network):
    rows = flights_table(50)

    alone = np.concatenate([network.predict(rows.iloc[[place]]) for place in range(50)])

    assert network.predict(rows) == pytest.approx(alone, abs=1e-6)


def test_its_state_brings_back_the_same_network(network, tmp_path):
    import torch

    from flights.network import DelayNetwork

    torch.save(network.to_state(), tmp_path / "weights.pt")
    again = DelayNetwork.from_state(torch.load(tmp_path / "weights.pt", weights_only=True))

    rows = flights_table(40)
    assert np.array_equal(again.predict(rows), network.predict(rows))


def test_the_saved_model_needs_nothing_of_the_project(network, tmp_path):
    import subprocess
    import sys

    from flights.packaging import save

    rows = flights_table(40)
    rows.loc[3, "carrier"] = "ZZ"
    save(network, rows, str(tmp_path / "model"))
    rows[list(FEATURES)].to_parquet(tmp_path / "rows.parquet")
    program = (
        "import sys, mlflow, pandas as pd\n"
        "model = mlflow.pyfunc.load_model('model')\n"
        "scores = model.predict(pd.read_parquet('rows.parquet'))\n"
        "pd.DataFrame({'score': scores}).to_parquet('scores.parquet')\n"
        "assert not {'flights', 'headrace'} & {name.split('.')[0] for name in sys.modules}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    scores = pd.read_parquet(tmp_path / "scores.parquet").score.to_numpy()
    assert np.array_equal(scores, network.predict(rows))


def test_the_saved_models_signature_asks_for_categories_only(network, tmp_path):
    from flights.packaging import signature

    inputs = signature().inputs.inputs

    assert [column.name for column in inputs] == [*CATEGORICAL, *NUMERIC]
    assert [column.name for column in inputs if column.required] == list(CATEGORICAL)
