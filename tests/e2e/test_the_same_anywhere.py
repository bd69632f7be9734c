"""What runs on the laptop runs on the cluster, and comes to the same."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from tests.e2e.running import Client, until
from tests.site import ROOT, SiteUnderTest

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.timeout(1800)]

FLIGHTS = str(ROOT / "pipelines/flights")
SAMPLE = ("-p", "sample=0.05", "-p", "epochs=2", "-p", "gate=")
METRIC_TOLERANCE = 1e-3
"""Two workers add gradients in another order than two processes of one machine may."""


@pytest.fixture(scope="module")
def laptop(site, tmp_path_factory):
    return Client(site=site, home=tmp_path_factory.mktemp("laptop") / "home")


@pytest.fixture(scope="module")
def cluster(site, tmp_path_factory):
    return Client(site=site, home=tmp_path_factory.mktemp("cluster") / "home")


def told(result, step):
    """What --json says of a step: `outputs`, `artifacts` as URIs."""
    return next(one for one in result.said["steps"] if one["step"] == step)


def measured(result):
    """The run's metrics, each by its step and name."""
    return {
        f"{step}.{name}": value
        for step, some in result.said["metrics"].items()
        for name, value in some.items()
    }


def table_at(site: SiteUnderTest, uri: str, folder) -> pa.Table:
    """A Parquet folder, here or in the store, its rows in an order of their own."""
    path = uri
    if uri.startswith("s3://"):
        assert site.store.download(uri, folder)
        path = str(folder)
    table = parquet.read_table(path)
    # What Spark wrote as folders' names comes back as dictionaries, which cannot be sorted.
    plain = [
        one.with_type(one.type.value_type) if pa.types.is_dictionary(one.type) else one
        for one in table.schema
    ]
    table = table.cast(pa.schema(plain))
    names = sorted(table.column_names)
    return table.select(names).sort_by([(name, "ascending") for name in names])


def test_flights(site, laptop, cluster, tmp_path):
    """Parameters equal, tables equal row for row, metrics within what rounding allows."""
    here = laptop.run(FLIGHTS, *SAMPLE, on=False, seconds=900)
    laptop.say("stop", "--all", on=False)
    there = cluster.run(FLIGHTS, *SAMPLE, seconds=1500)
    assert here.code == 0, here.said
    assert there.code == 0, there.said
    assert there.states == here.states
    tables = [
        table_at(site, told(one, "features")["artifacts"]["table"][0], tmp_path / name)
        for one, name in ((here, "here"), (there, "there"))
    ]
    assert tables[0].num_rows > 1000
    assert tables[0].equals(tables[1])
    for step in ("baselines", "train", "evaluate"):
        assert told(there, step)["outputs"] == told(here, step)["outputs"]
    ours, theirs = measured(here), measured(there)
    assert len(ours) > 20
    assert theirs == pytest.approx(ours, abs=METRIC_TOLERANCE)
    assert "flight-delays" in cluster.say("stop", "--all")
    until(lambda: not site.left_over(), 120, "what was served is gone")


def test_stages_and_what_is_left(site, cluster, tmp_path):
    """Spark and Ray with the project's own code; afterwards only the chart's objects are there."""
    found = cluster.run("stages.py")
    assert found.code == 0, found.said
    assert found.said["outputs"] == {"Output": "line: 3.00 x + 1.00"}
    assert told(found, "prepare")["outputs"] == {"Output": 1000}
    again = cluster.run("stages.py", "-p", "note=again")
    assert again.states == {
        "table": "reused", "prepare": "reused", "train": "reused", "look": "succeeded",
    }  # fmt: skip
    assert again.said["outputs"] == {"Output": "again: 3.00 x + 1.00"}


def test_a_result_that_was_tampered_with_is_not_reused(site, cluster):
    """Whoever deletes an artifact makes its step run again."""
    first = cluster.run("stages.py")
    uri = told(first, "table")["artifacts"]["raw"][0]
    assert site.store.delete(uri) == 1
    again = cluster.run("stages.py")
    assert again.states == {
        "table": "succeeded", "prepare": "reused", "train": "reused", "look": "reused",
    }  # fmt: skip
    assert json.dumps(again.said["outputs"]) == json.dumps(first.said["outputs"])
