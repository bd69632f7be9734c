"""A database that MLflow cannot use is refused before any step starts, and is left as it was."""

import sqlite3

import pytest
from kfp import dsl

import headrace as hr
from headrace.core.errors import EnvironmentProblem
from headrace.registry.database import prepare
from headrace.running.run import run_pipeline
from headrace.sites.home import Home


@hr.step
def one() -> int:
    return 1


@dsl.pipeline(name="single")
def single() -> int:
    return one().output


def test_one_that_a_newer_mlflow_made(tmp_path):
    home = Home(root=tmp_path / "home").ensure()
    prepare(home.database, artifacts=home.mlartifacts)
    with sqlite3.connect(home.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")
    connection.close()
    before = home.database.read_bytes()
    with pytest.raises(EnvironmentProblem, match="fedcba987654"):
        run_pipeline(single, {}, home)
    assert home.database.read_bytes() == before
    assert not home.runs.exists()


def test_a_file_that_is_no_database(tmp_path):
    home = Home(root=tmp_path / "home").ensure()
    home.database.write_text("my notes")
    with pytest.raises(EnvironmentProblem):
        run_pipeline(single, {}, home)
    assert home.database.read_text() == "my notes"


def test_it_does_not_matter_to_a_run_that_is_not_recorded(tmp_path):
    home = Home(root=tmp_path / "home").ensure()
    home.database.write_text("my notes")
    assert run_pipeline(single, {}, home, record=False).outputs == {"Output": 1}
