"""Brings the database of a site's MLflow to the schema of the MLflow that is installed.

`python -m headrace.registry.server_database`, with its URL in MLFLOW_BACKEND_STORE_URI; the chart
runs it before the server. A database that is as it should be is left alone, in a fraction of a
second and without MLflow's import.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from headrace.core.errors import EnvironmentProblem, HeadraceError
from headrace.registry import database
from headrace.registry.revisions import installed_revisions

VARIABLE = "MLFLOW_BACKEND_STORE_URI"
_PATIENCE = 300.0
"""Seconds that a database may take to answer."""
_PAUSE = 2.0
_LOCK = 0x68656164
"""PostgreSQL's name for the lock that lets one pod at a time upgrade."""
_SQLITE = "sqlite:///"


def main() -> int:
    """Bring it there, and return 0 once it is."""
    url = os.environ.get(VARIABLE, "")
    try:
        print(bring_up_to_date(url))
    except HeadraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def bring_up_to_date(url: str, *, patience: float = _PATIENCE) -> str:
    """Make or upgrade a database, or leave it, and say which.

    On PostgreSQL all of it happens or nothing does. A SQLite file is copied before; one that is
    not there is left for the server to make.

    Args:
        url: The database's URL.
        patience: Seconds for which a database that does not answer is asked again.

    Raises:
        EnvironmentProblem: It does not answer, is a newer MLflow's, or a migration failed.
    """
    if url.startswith(_SQLITE):
        path = Path(url.removeprefix(_SQLITE))
        if not path.exists():
            return "The server will make the database."
        made = database.prepare(path, artifacts=path.parent)
        return f"Upgraded; the copy before that is {made.backup}." if made.backup else "Up to date."
    if not url.startswith("postgresql"):
        return "Nobody here looks after such a database."
    head = installed_revisions().head
    before = _revision_when_there(url, patience)
    if before == head:
        return "Up to date."
    _migrate(url)
    return f"Upgraded from {before} to {head}." if before else f"Made, at {head}."


def _revision_when_there(url: str, patience: float) -> str:
    """The revision of a PostgreSQL database's schema; empty if it has none."""
    import psycopg

    plain = "postgresql" + url[url.index("://") :]
    until = time.monotonic() + patience
    while True:
        try:
            with psycopg.connect(plain, connect_timeout=5) as connection:
                known = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
                if not known or known[0] is None:
                    return ""
                found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
                return str(found[0]) if found else ""
        except psycopg.OperationalError as error:
            if time.monotonic() > until:
                raise EnvironmentProblem(
                    f"MLflow's database does not answer: {str(error).strip().splitlines()[-1]}",
                    hint="is it running, and is the URL in its Secret right?",
                ) from error
            time.sleep(_PAUSE)


def _migrate(url: str) -> None:
    """Run what migrations a PostgreSQL database lacks, all of them or none."""
    import sqlalchemy
    from alembic import command

    store: Any = importlib.import_module("mlflow.store.db.utils")
    engine: Any = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as holder:
            holder.execute(sqlalchemy.text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
            with engine.begin() as connection:
                if not sqlalchemy.inspect(connection).get_table_names():
                    # What the first migration starts from; nothing is lost if it ends here.
                    store.InitialBase.metadata.create_all(connection)
            config = store._get_alembic_config(url)
            # Migrations take another connection of its engine, and one transaction for them all.
            config.attributes["connection"] = holder
            command.upgrade(config, "heads")
    except Exception as error:
        raise EnvironmentProblem(
            f"MLflow's database could not be upgraded, and is as it was: {error}",
            hint="its revision may be a newer MLflow's: go on with the images that it came from",
        ) from error
    finally:
        engine.dispose()


if __name__ == "__main__":
    sys.exit(main())
