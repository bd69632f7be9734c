"""What MLflow raises is said in our words, and a lost race is run again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from headrace.core.errors import EnvironmentProblem, GateFailed, UsageError
from headrace.registry.tracking import database_of, despite_races, foreign_errors

URI = "sqlite:////home/me/mlflow.db"


def raised(error: Exception, cause: BaseException | None = None) -> Exception:
    """What comes out of `foreign_errors` when `error`, led to by `cause`, goes in."""
    with pytest.raises(Exception) as caught, foreign_errors("list the models", URI):
        raise error from cause
    return caught.value


class Foreign(Exception):
    """As MLflow's own exception, which takes seconds to import."""

    __module__ = "mlflow.exceptions"
    error_code = "INTERNAL_ERROR"


def test_our_own_errors_pass_as_they_are() -> None:
    error = GateFailed("no")
    assert raised(error) is error


def test_errors_of_nobody_we_know_pass_as_they_are() -> None:
    error = ZeroDivisionError("ours, and a mistake")
    assert raised(error) is error


def test_what_mlflow_refuses_is_a_usage_error() -> None:
    error = Foreign("Alias x not found.")
    error.error_code = "RESOURCE_DOES_NOT_EXIST"
    found = raised(error)
    assert isinstance(found, UsageError)
    assert str(found) == (
        "Headrace could not list the models: Alias x not found.\n  at: /home/me/mlflow.db"
    )


def test_another_schema_is_a_problem_of_versions() -> None:
    found = raised(Foreign("Detected out-of-date database schema (found version abc)"))
    assert isinstance(found, EnvironmentProblem)
    assert found.hint == "headrace doctor says which is the newer"


def test_a_failing_disk_or_network_is_named() -> None:
    found = raised(Foreign("wrapped"), OSError(28, "No space left on device", "/home/me/x"))
    assert isinstance(found, EnvironmentProblem)
    assert (found.what, found.where) == (
        "Headrace could not list the models: No space left on device.",
        ("/home/me/x",),
    )


def test_the_files_own_trouble_is_found_below_all_wrappings(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("CREATE TABLE a (b)")
    middle = Foreign("sqlalchemy says so too")
    middle.orig = caught.value  # type: ignore[attr-defined]
    found = raised(Foreign("and MLflow"), middle)
    assert isinstance(found, EnvironmentProblem)
    assert "most likely because the disk is full" in found.what


def test_a_broken_constraint_is_not_taken_for_a_damaged_file() -> None:
    found = raised(Foreign("exists"), sqlite3.IntegrityError("UNIQUE constraint failed: a.b"))
    assert isinstance(found, EnvironmentProblem)
    assert found.what == "Headrace could not list the models: exists."


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        (URI, Path("/home/me/mlflow.db")),
        ("sqlite:////home/100%25/my%20project/mlflow.db", Path("/home/100%/my project/mlflow.db")),
        ("http://localhost:5000", None),
    ],
)
def test_a_tracking_uri_names_its_database(uri: str, path: Path | None) -> None:
    assert database_of(uri) == path


class Racer:
    """Loses a number of races before it wins."""

    def __init__(self, losses: int, cause: Exception) -> None:
        self.losses = losses
        self.cause = cause
        self.tries = 0

    def __call__(self) -> None:
        self.tries += 1
        if self.tries <= self.losses:
            raise Foreign("lost") from self.cause


def test_a_lost_race_is_run_again() -> None:
    racer = Racer(3, sqlite3.IntegrityError("UNIQUE constraint failed: datasets.digest"))
    despite_races(racer)
    assert racer.tries == 4


def test_a_race_that_is_always_lost_is_an_error_in_the_end() -> None:
    racer = Racer(100, sqlite3.IntegrityError("NOT NULL constraint failed: runs.name"))
    with pytest.raises(Foreign):
        despite_races(racer)
    assert racer.tries < 10


def test_other_errors_are_not_tried_again() -> None:
    racer = Racer(1, sqlite3.OperationalError("database is locked"))
    with pytest.raises(Foreign):
        despite_races(racer)
    assert racer.tries == 1
