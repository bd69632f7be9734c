"""MLflow's SQLite file: is it usable, who keeps it from us, and how it first comes to be.

Nothing here imports MLflow, so that a run can check its database in milliseconds before
anything starts. A new database is made from `schema.sql`, which holds exactly what
MLflow's own migrations arrive at (a test compares them): 30 ms instead of 4 s.

Write-ahead logging is switched on when a database is made or first seen, so that two
runs, MLflow's pages and a model server read while one of them writes.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from headrace.core.errors import EnvironmentProblem
from headrace.registry.locking import WAIT_SECONDS, locked
from headrace.registry.revisions import Revisions, installed_revisions
from headrace.registry.sqlite_errors import backup_hint, translated

SCHEMA = Path(__file__).with_name("schema.sql")
_MAGIC = b"SQLite format 3\0"


class Condition(StrEnum):
    """How a database stands to the installed MLflow."""

    MISSING = "missing"
    """Not there yet; it is made when it is needed."""
    CURRENT = "current"
    """Ready."""
    OLDER = "older"
    """Made by an older MLflow; it is upgraded when it is needed, after a backup."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found at a database's path."""

    path: Path
    """The file."""
    condition: Condition
    """How it stands to the installed MLflow."""
    revision: str | None
    """Its schema's revision; None when it is missing."""
    head: str
    """The revision that the installed MLflow works with."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What was done to make a database ready."""

    path: Path
    """The file, ready now."""
    created: bool
    """Whether it was made just now."""
    backup: Path | None
    """The copy made before an upgrade; None when nothing was upgraded."""


def inspect(path: Path, *, wait: float = WAIT_SECONDS) -> Inspection:
    """Look whether `path` can be worked with. Changes nothing.

    Args:
        path: The SQLite file, there or not.
        wait: Seconds to wait for another process that is writing to it.

    Raises:
        EnvironmentProblem: Not a database of MLflow's, made by a newer MLflow, damaged,
            locked for longer than `wait`, or not writable.
    """
    revisions = installed_revisions()
    if not path.exists() or path.stat().st_size == 0:
        _check_folder(path)
        return Inspection(
            path=path, condition=Condition.MISSING, revision=None, head=revisions.head
        )
    _check_file(path)
    with translated(path), closing(_open(path, wait)) as connection:
        revision = _revision(connection, path, revisions)
        # Taking the write lock and letting go at once tells whether anybody may write.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    condition = Condition.CURRENT if revision == revisions.head else Condition.OLDER
    return Inspection(path=path, condition=condition, revision=revision, head=revisions.head)


def prepare(path: Path, *, artifacts: Path, wait: float = WAIT_SECONDS) -> Preparation:
    """Make the database at `path` ready: create it, or upgrade it after a backup, or leave it.

    Processes that come here together take turns, and a database appears at its place only
    when it is complete.

    Args:
        path: The SQLite file.
        artifacts: Folder for the artifacts of MLflow's "Default" experiment, in which runs
            of people who name no experiment land.
        wait: Seconds to wait for another process.

    Raises:
        EnvironmentProblem: As for `inspect`, or the disk is full.
    """
    if inspect(path, wait=wait).condition is Condition.CURRENT:
        _switch_to_wal(path)
        return Preparation(path=path, created=False, backup=None)
    with locked(path.with_name(f"{path.name}.lock"), wait=wait, what=path):
        found = inspect(path, wait=wait)
        if found.condition is Condition.MISSING:
            _create(path, artifacts)
            return Preparation(path=path, created=True, backup=None)
        backup = None
        if found.condition is Condition.OLDER:
            from headrace.registry.upgrading import upgrade  # imports MLflow

            backup = path.with_name(f"{path.name}.bak-{found.revision}")
            upgrade(path, backup=backup)
        _switch_to_wal(path)
        return Preparation(path=path, created=False, backup=backup)


def _check_folder(path: Path) -> None:
    folder = next(parent for parent in path.parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise EnvironmentProblem(
            "MLflow's database cannot be made here: the folder cannot be written.",
            where=str(folder),
            hint="choose another folder with HEADRACE_HOME, or give yourself the right to write",
        )


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except OSError as error:
        raise EnvironmentProblem(
            f"MLflow's database cannot be opened: {error.strerror}.",
            where=str(path),
            hint="give yourself the right to read it, or choose another folder (HEADRACE_HOME)",
        ) from error
    if start != _MAGIC:
        raise EnvironmentProblem(
            f"{path.name} is not a SQLite database.",
            where=str(path),
            hint=backup_hint(path) or "put the file aside and run again; a new one is made",
        )


def _open(path: Path, wait: float) -> sqlite3.Connection:
    # mode=rw: opening a file must not create one.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=wait, isolation_level=None)


def _revision(connection: sqlite3.Connection, path: Path, revisions: Revisions) -> str:
    tables = {
        name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
    }
    if "alembic_version" not in tables or "experiments" not in tables:
        raise EnvironmentProblem(
            f"{path.name} is a SQLite database, but not one of MLflow's.",
            where=str(path),
            hint="put the file aside and run again, or choose another folder (HEADRACE_HOME)",
        )
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    revision = str(row[0]) if row else "none"
    if revision in revisions.known:
        return revision
    raise EnvironmentProblem(
        f"MLflow's database was made by a newer MLflow than the installed {revisions.version}: "
        f"its schema has the revision {revision}, the installed MLflow knows none after "
        f"{revisions.head}.",
        where=str(path),
        hint=" or ".join(
            filter(
                None,
                (
                    "upgrade MLflow (pip install --upgrade mlflow)",
                    "choose another folder (HEADRACE_HOME)",
                    backup_hint(path),
                ),
            )
        ),
    )


def _create(path: Path, artifacts: Path) -> None:
    revisions = installed_revisions()
    schema = SCHEMA.read_text()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")  # only the lock's holder touches it
    draft.unlink(missing_ok=True)
    try:
        with translated(path), closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            if schema_revision(schema) in revisions.known:
                connection.executescript(schema)
        if schema_revision(schema) != revisions.head:
            from headrace.registry.upgrading import migrate  # imports MLflow

            migrate(draft)
        with translated(path), closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            _add_default_experiment(connection, artifacts)
            connection.commit()
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise EnvironmentProblem(
            f"MLflow's database could not be made: {error.strerror}.",
            where=str(error.filename or path),
            hint="make room on the disk, or choose another folder with HEADRACE_HOME",
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def schema_revision(schema: str) -> str:
    """The revision that the text of `schema.sql` states in its first line."""
    return schema.splitlines()[0].rsplit(maxsplit=1)[-1]


def _add_default_experiment(connection: sqlite3.Connection, artifacts: Path) -> None:
    # MLflow would add it with a folder below wherever its first user happens to stand.
    now = int(time.time() * 1000)
    connection.execute(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage,"
        " creation_time, last_update_time, workspace)"
        " VALUES (0, 'Default', ?, 'active', ?, ?, 'default')",
        ((artifacts / "Default").absolute().as_uri(), now, now),
    )


def _switch_to_wal(path: Path) -> None:
    # Where somebody reads just now, or the file system cannot: slower, but right all the same.
    with suppress(sqlite3.OperationalError), closing(_open(path, 0.1)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
