"""Registered models as people see them."""

import os
import time
from textwrap import dedent

import pytest

from headrace.cli.render.models import model_picture, models_table
from headrace.registry.catalog import Promotion, RegisteredModel, Version, VersionLineage
from headrace.registry.lineage import DatasetSource

DAY = 1_795_507_200.0


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    os.environ.pop("TZ", None)
    time.tzset()


def text(block):
    return dedent(block).strip("\n")


def version(number, *aliases, **metrics):
    return Version(
        name="flight-delays",
        version=number,
        aliases=aliases,
        created=DAY + number * 3600,
        digest=f"sha256:{number}" + "0" * 63,
        run=f"flights-20261124-0{number}0000-7c1e",
        metrics={"auc": 0.7, **metrics, "champion.auc": 0.6},
    )


def promotion(number, promoted, *reasons, basis=""):
    return Promotion(
        time=f"2026-11-24T0{number}:30:00.000000Z",
        name="flight-delays",
        version=number,
        alias="champion",
        promoted=promoted,
        gate="auc >= champion.auc",
        reasons=reasons,
        figures={},
        champion=None,
        basis=basis,
        run="r",
        user="me",
    )


def test_the_list_has_a_line_per_model(drawn):
    models = [
        RegisteredModel(name="digits", latest=None, count=0, aliases={}),
        RegisteredModel(
            name="flight-delays", latest=3, count=3, aliases={"champion": 2, "next": 3}
        ),
    ]
    assert drawn(models_table(models)) == text("""
        model          versions  latest  aliases
        digits         0
        flight-delays  3         3       champion = 2, next = 3
    """)


def test_one_model_with_its_versions_decisions_and_lineage(drawn):
    lineage = VersionLineage(
        version=version(2, "champion"),
        pipeline="flights",
        source="pipelines/flights",
        step="train",
        steps=("features", "train"),
        code_digest="sha256:4f1a" + "0" * 60,
        git={"commit": "547d2f9aaaaaaaaaaaa", "branch": "main", "dirty": True},
        datasets=(
            DatasetSource(name="table", uri="/a", digest="sha256:" + "b" * 64, step="features"),
            DatasetSource(name="planes", uri="/p", digest="", step=""),
        ),
        mlflow_run="abc123",
        mlflow_parent="def456",
    )
    history = [
        promotion(1, True, "no champion yet for auc >= champion.auc"),
        promotion(2, True, "auc 0.71 >= champion.auc 0.70", basis="measured on the same data"),
        promotion(3, False, "auc 0.68 < champion.auc 0.71"),
    ]
    versions = [version(3), version(2, "champion", brier=0.131), version(1)]
    picture = drawn(model_picture("flight-delays", versions, history, lineage), width=90)
    assert picture == text("""
        flight-delays  3 versions

        version  aliases   made              run                           figures
        3                  2026-11-24 11:00  flights-20261124-030000-7c1e  auc 0.7
        2        champion  2026-11-24 10:00  flights-20261124-020000-7c1e  auc 0.7 · brier 0.131
        1                  2026-11-24 09:00  flights-20261124-010000-7c1e  auc 0.7

        decided           version  alias     because
        2026-11-24 01:30  ✔ 1      champion  no champion yet for auc >= champion.auc
        2026-11-24 02:30  ✔ 2      champion  auc 0.71 >= champion.auc 0.70  (measured on the same…
        2026-11-24 03:30  ✘ 3      champion  auc 0.68 < champion.auc 0.71

        where version 2 comes from
        pipeline  flights  (pipelines/flights)
        run       flights-20261124-020000-7c1e
        step      features → train
        code      sha256:4f1a00000000
        git       547d2f9aaaaa on main with uncommitted changes
        content   sha256:200000000000
        MLflow    run abc123
        data      table from features  sha256:bbbbbbbbbbbb
                  planes
    """)


def test_without_a_database_there_is_no_model_and_mlflow_is_not_asked(headrace, tmp_path):
    said = headrace("models")
    assert said.out == (
        f"There is no model in {tmp_path}/.headrace yet: run a pipeline that registers one.\n"
    )
    assert headrace("models", "--json").out == "[]\n"
