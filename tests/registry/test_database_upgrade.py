"""An older database is upgraded after a backup, wholly or not at all."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import EnvironmentProblem
from headrace.registry import database, upgrading
from headrace.registry.database import Condition, Preparation, inspect, prepare
from headrace.registry.revisions import installed_revisions

pytestmark = pytest.mark.engine

OLD = "f5a4f2784254"  # of MLflow 2.17


@pytest.fixture(scope="module")
def old_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of an MLflow of 2024, with an experiment in it."""
    import mlflow.store.db.utils as store
    import sqlalchemy
    from alembic import command

    path = tmp_path_factory.mktemp("old") / "mlflow.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    utils: Any = store
    utils.InitialBase.metadata.create_all(engine)
    config = utils._get_alembic_config(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, OLD)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage)"
            " VALUES (7, 'precious', 'active')"
        )
        connection.commit()
    return path


@pytest.fixture
def old(old_template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(old_template, tmp_path / "mlflow.db"))


def names(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM experiments")]


def in_order(sql: str) -> list[str]:
    """The lines of a statement, with constraints and their choices sorted.

    MLflow's migrations write those in an order that changes from process to process.
    """
    lines = [
        re.sub(r"IN \((.*?)\)", lambda found: str(sorted(found[1].split(", "))), line).strip(" ,\t")
        for line in sql.splitlines()
    ]
    constraints = [line for line in lines if line.startswith("CONSTRAINT")]
    return [line for line in lines if line not in constraints] + sorted(constraints)


def schema(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
        return sorted((*names, in_order(sql or "")) for *names, sql in rows)


def test_a_new_database_is_what_mlflows_own_migrations_make(tmp_path: Path) -> None:
    migrated = tmp_path / "migrated.db"
    upgrading.migrate(migrated)
    made = prepare(tmp_path / "made.db", artifacts=tmp_path).path
    assert schema(made) == schema(migrated)
    with closing(sqlite3.connect(made)) as connection:
        tables = [name for kind, name, *_ in schema(made) if kind == "table"]
        full = {
            name
            for name in tables
            if connection.execute(f"SELECT count(*) FROM {name}").fetchone() != (0,)
        }
    assert full == {"alembic_version", "experiments", "workspaces"}


def test_a_newer_mlflow_than_the_template_migrates_the_rest(
    tmp_path: Path, old_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(old_template)) as connection:
        connection.execute("DELETE FROM experiments")
        text = "\n".join(connection.iterdump())
    template = tmp_path / "schema.sql"
    template.write_text(f"-- revision {OLD}\n{text}\n")
    monkeypatch.setattr(database, "SCHEMA", template)
    prepare(tmp_path / "made.db", artifacts=tmp_path)
    assert inspect(tmp_path / "made.db").condition is Condition.CURRENT


def test_an_older_mlflow_than_the_template_does_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "schema.sql"
    template.write_text("-- revision ffffffffffff\nCREATE TABLE nonsense (a);\n")
    monkeypatch.setattr(database, "SCHEMA", template)
    made = prepare(tmp_path / "made.db", artifacts=tmp_path).path
    assert inspect(made).condition is Condition.CURRENT
    assert "nonsense" not in [name for _, name, *_ in schema(made)]


def test_an_older_database_is_upgraded_after_a_backup(old: Path) -> None:
    backup = old.with_name(f"mlflow.db.bak-{OLD}")
    done = prepare(old, artifacts=old.parent)
    assert done == Preparation(path=old, created=False, backup=backup)
    assert inspect(old).revision == installed_revisions().head
    assert (names(old), names(backup)) == (["precious"], ["precious"])
    assert inspect(backup).revision == OLD


def test_a_migration_that_fails_leaves_everything_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.store.db.utils as store

    before = schema(old)
    real = store._upgrade_db

    def breaking(engine: Any) -> None:
        real(engine)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_upgrade_db", breaking)
    with pytest.raises(EnvironmentProblem, match="No space left on device"):
        prepare(old, artifacts=old.parent)
    assert schema(old) == before
    assert names(old) == ["precious"]
    monkeypatch.undo()
    assert prepare(old, artifacts=old.parent).backup is not None
