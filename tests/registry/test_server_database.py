"""What is done to the database of a site's MLflow before its server starts.

PostgreSQL is tried where there is one: `tests/e2e/test_the_platform.py`.
"""

import sqlite3
from contextlib import closing

import pytest

from headrace.core.errors import EnvironmentProblem
from headrace.registry.database import prepare
from headrace.registry.server_database import bring_up_to_date


def test_a_file_that_is_not_there_is_left_to_the_server(tmp_path):
    path = tmp_path / "mlflow.db"
    assert bring_up_to_date(f"sqlite:///{path}") == "The server will make the database."
    assert not path.exists()


def test_a_file_that_is_as_it_should_be_stays(tmp_path):
    path = tmp_path / "mlflow.db"
    prepare(path, artifacts=tmp_path)
    assert bring_up_to_date(f"sqlite:///{path}") == "Up to date."


def test_a_file_of_a_newer_mlflow_is_refused(tmp_path):
    path = tmp_path / "mlflow.db"
    prepare(path, artifacts=tmp_path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'of-tomorrow'")
    with pytest.raises(EnvironmentProblem):
        bring_up_to_date(f"sqlite:///{path}")


def test_a_server_that_does_not_answer():
    url = "postgresql+psycopg://mlflow:secret@127.0.0.1:9/mlflow"
    with pytest.raises(EnvironmentProblem, match=r"^MLflow's database does not answer: ") as caught:
        bring_up_to_date(url, patience=0)
    assert "secret" not in str(caught.value)
