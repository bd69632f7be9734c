"""The database is checked and made in milliseconds, without importing MLflow."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from headrace.core.errors import EnvironmentProblem
from headrace.registry.database import (
    SCHEMA,
    Condition,
    Inspection,
    Preparation,
    inspect,
    prepare,
    schema_revision,
)
from headrace.registry.revisions import installed_revisions

REVISIONS = installed_revisions()
OLDER = "451aebb31d03"  # MLflow's first revision
NOBODY = 65534
LOCKER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(600)
"""


def handmade(path: Path, revision: str) -> Path:
    """What a database of MLflow's looks like from afar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE alembic_version (version_num VARCHAR(32));"
            "CREATE TABLE experiments (experiment_id INTEGER);"
            f"INSERT INTO alembic_version VALUES ('{revision}');"
        )
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "home" / "mlflow.db"


@pytest.fixture
def lock(database: Path) -> Iterator[Callable[[], str]]:
    """Have another process lock the database; gives how that process is named."""
    processes = []

    def locker() -> str:
        command = [sys.executable, "-c", LOCKER, str(database)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        return f"process {process.pid}"

    yield locker
    for process in processes:
        process.kill()
        process.communicate()


def test_the_check_and_the_making_need_no_mlflow(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from headrace.registry.database import prepare;"
        f"prepare(Path({str(tmp_path / 'mlflow.db')!r}), artifacts=Path('/tmp/a'));"
        "print([name for name in ('mlflow', 'sqlalchemy', 'alembic') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_missing_database_is_fine(database: Path) -> None:
    assert inspect(database) == Inspection(
        path=database, condition=Condition.MISSING, revision=None, head=REVISIONS.head
    )
    assert not database.parent.exists()


def test_a_database_is_made_once_and_then_left_alone(database: Path) -> None:
    artifacts = database.parent / "mlartifacts"
    made = prepare(database, artifacts=artifacts)
    assert made == Preparation(path=database, created=True, backup=None)
    assert inspect(database).condition is Condition.CURRENT
    again = prepare(database, artifacts=artifacts)
    assert again == Preparation(path=database, created=False, backup=None)
    with closing(sqlite3.connect(database)) as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()
        default = connection.execute("SELECT name, artifact_location FROM experiments").fetchall()
    assert mode == ("wal",)
    assert default == [("Default", (artifacts / "Default").as_uri())]


def test_an_empty_file_counts_as_missing(database: Path) -> None:
    database.parent.mkdir()
    database.touch()
    assert inspect(database).condition is Condition.MISSING
    assert prepare(database, artifacts=database.parent).created


def test_many_processes_make_one_database(database: Path) -> None:
    context = multiprocessing.get_context("fork")
    with context.Pool(6) as pool:
        made = pool.map(_prepared, [database] * 12, chunksize=1)
    assert sorted(made) == [False] * 11 + [True]
    assert inspect(database).condition is Condition.CURRENT


def _prepared(database: Path) -> bool:
    return prepare(database, artifacts=database.parent).created


def test_the_template_is_of_a_revision_that_mlflow_knows() -> None:
    assert schema_revision(SCHEMA.read_text()) in REVISIONS.known


def test_a_file_that_is_no_database_is_an_error(database: Path) -> None:
    database.parent.mkdir()
    database.write_text("not a database at all")
    with pytest.raises(EnvironmentProblem) as caught:
        inspect(database)
    assert str(caught.value) == (
        "mlflow.db is not a SQLite database.\n"
        f"  at: {database}\n"
        "  try: put the file aside and run again; a new one is made"
    )


def test_a_database_of_somebody_else_is_an_error(database: Path) -> None:
    database.parent.mkdir()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(EnvironmentProblem) as caught:
        inspect(database)
    assert caught.value.what == "mlflow.db is a SQLite database, but not one of MLflow's."


def test_a_damaged_database_is_an_error(database: Path) -> None:
    prepare(database, artifacts=database.parent)
    content = database.read_bytes()
    database.write_bytes(content[:100] + b"\xff" * 4000 + content[4100:])
    with pytest.raises(EnvironmentProblem, match=r"cannot be read: .*malformed"):
        inspect(database)


def test_a_newer_database_is_an_error_that_names_both_versions(database: Path) -> None:
    handmade(database, "ffffffffffff")
    with pytest.raises(EnvironmentProblem) as caught:
        inspect(database)
    assert caught.value.what == (
        f"MLflow's database was made by a newer MLflow than the installed {REVISIONS.version}: "
        "its schema has the revision ffffffffffff, the installed MLflow knows none after "
        f"{REVISIONS.head}."
    )
    assert caught.value.hint == (
        "upgrade MLflow (pip install --upgrade mlflow) or choose another folder (HEADRACE_HOME)"
    )


def test_a_backup_is_offered_where_there_is_one(database: Path) -> None:
    handmade(database, "ffffffffffff")
    backup = handmade(database.with_name("mlflow.db.bak-abc"), "abc")
    with pytest.raises(EnvironmentProblem) as caught:
        inspect(database)
    assert caught.value.hint.endswith(f" or go back to the backup {backup}")


def test_an_older_database_is_seen_and_not_touched(database: Path) -> None:
    handmade(database, OLDER)
    before = database.read_bytes()
    assert inspect(database) == Inspection(
        path=database, condition=Condition.OLDER, revision=OLDER, head=REVISIONS.head
    )
    assert database.read_bytes() == before


@pytest.mark.parametrize("wal", [True, False])
def test_a_lock_names_the_process_that_holds_it(
    database: Path, lock: Callable[[], str], wal: bool
) -> None:
    prepare(database, artifacts=database.parent)
    if not wal:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
    # A process that merely has the file open is not to blame.
    with closing(sqlite3.connect(database)) as reader:
        reader.execute("SELECT * FROM experiments").fetchall()
        who = lock()
        with pytest.raises(EnvironmentProblem) as caught:
            inspect(database, wait=0.1)
    assert caught.value.what.startswith(f"mlflow.db is locked by {who} ({sys.executable} -c")
    assert caught.value.what.count("process ") == 1


def test_a_lock_that_is_let_go_in_time_is_no_error(database: Path) -> None:
    prepare(database, artifacts=database.parent)
    program = LOCKER.replace("time.sleep(600)", "time.sleep(0.5)")
    command = [sys.executable, "-c", program, str(database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert inspect(database, wait=30).condition is Condition.CURRENT


@pytest.mark.parametrize("locked_away", ["file", "folder"])
def test_a_database_that_may_not_be_written_is_an_error(locked_away: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="headrace-test-"))
    try:
        database = folder / "home" / "mlflow.db"
        prepare(database, artifacts=folder)
        if locked_away == "folder":
            database.unlink()
            database.parent.chmod(0o555)
        else:
            database.chmod(0o444)
        for path in (folder, database.parent):
            path.chmod(path.stat().st_mode & 0o555 | 0o055)
        text = as_nobody(lambda: str(_problem(database)))
    finally:
        database.parent.chmod(0o755)
        folder.chmod(0o755)
        shutil.rmtree(folder)
    place = database if locked_away == "file" else database.parent
    assert "cannot be" in text.splitlines()[0]
    assert text.splitlines()[1] == f"  at: {place}"


def _problem(database: Path) -> EnvironmentProblem | None:
    try:
        inspect(database, wait=0.1)
    except EnvironmentProblem as problem:
        return problem
    return None


def as_nobody(function: Callable[[], str]) -> str:
    """What `function` gives for a user who is not root, whom no permission stops."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        os.write(writing, function().encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as file:
        return file.read()
