"""SQLite's errors about MLflow's database file, in our words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.core.errors import EnvironmentProblem
from headrace.registry.holders import holders


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors about the file `path` into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise sqlite_problem(error, path) from error


def sqlite_problem(error: BaseException, path: Path) -> EnvironmentProblem:
    """What an error of SQLite's about the file `path` means, and what to do about it."""
    name = str(getattr(error, "sqlite_errorname", ""))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return locked_problem(path, path)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return EnvironmentProblem(
            f"MLflow's database cannot be written: {error}.",
            where=str(path),
            hint=f"give yourself the right to write to the file and its folder {path.parent}",
        )
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return EnvironmentProblem(
            f"MLflow's database could not be written, most likely because the disk is full: "
            f"{error}.",
            where=str(path),
            hint="make room on the disk (headrace clean), then run again; nothing was lost",
        )
    damaged = name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT"))
    return EnvironmentProblem(
        f"MLflow's database cannot be read: {error}.",
        where=str(path),
        hint=backup_hint(path)
        or (
            "put the file aside and run again; a new one is made" if damaged else "headrace doctor"
        ),
    )


def locked_problem(file: Path, what: Path) -> EnvironmentProblem:
    """That `what` is locked, through `file`, and by whom as far as it is known."""
    who = holders(file)
    return EnvironmentProblem(
        f"{what.name} is locked by {', '.join(who) if who else 'another process'}.",
        where=str(what),
        hint="let that process finish or stop it, then run again",
    )


def backup_hint(path: Path) -> str:
    """A hint at the newest backup of the database `path`; empty when there is none."""
    backups = sorted(path.parent.glob(f"{path.name}.bak-*"), key=lambda file: file.stat().st_mtime)
    return f"go back to the backup {backups[-1]}" if backups else ""
