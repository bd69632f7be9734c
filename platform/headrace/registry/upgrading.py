"""Bringing a database to the installed MLflow's schema, all of it or nothing."""

from __future__ import annotations

import importlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from headrace.registry.sqlite_errors import translated
from headrace.registry.tracking import foreign_errors


class _OneTransaction(sqlite3.Connection):
    """Leaves ending the transaction to whoever opened it, whatever a migration thinks."""

    def commit(self) -> None:
        """Do nothing."""

    def rollback(self) -> None:
        """Do nothing: closing without a COMMIT rolls back."""


def upgrade(path: Path, *, backup: Path) -> None:
    """Copy the database `path` to `backup`, then upgrade it in one transaction.

    A process killed in the middle leaves the database as it was. Other processes cannot
    write meanwhile.

    Raises:
        EnvironmentProblem: Locked, disk full, or a migration failed; nothing was changed.
    """
    with translated(path), closing(_connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        _copy(path, backup)
        _run_migrations(connection, path)
        connection.execute("COMMIT")


def migrate(path: Path) -> None:
    """Run the migrations that the database `path` lacks: all of them on an empty file."""
    with translated(path), closing(_connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN IMMEDIATE")
        _run_migrations(connection, path)
        connection.execute("COMMIT")


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=10.0, isolation_level=None, factory=_OneTransaction, check_same_thread=False
    )


def _copy(path: Path, backup: Path) -> None:
    draft = backup.with_name(f"{backup.name}.new")
    draft.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(draft)) as target:
            source.backup(target)
        os.replace(draft, backup)
    finally:
        draft.unlink(missing_ok=True)


def _run_migrations(connection: sqlite3.Connection, path: Path) -> None:
    with foreign_errors("upgrade MLflow's database", f"sqlite:///{path}"):
        import sqlalchemy
        from sqlalchemy.pool import StaticPool

        store: Any = importlib.import_module("mlflow.store.db.utils")
        engine: Any = sqlalchemy.create_engine(
            "sqlite://", creator=lambda: connection, poolclass=StaticPool
        )
        if not sqlalchemy.inspect(engine).get_table_names():
            store.InitialBase.metadata.create_all(engine)
        store._upgrade_db(engine)
