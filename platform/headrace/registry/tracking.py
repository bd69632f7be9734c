"""The door to MLflow: its clients, and its errors in our words."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from headrace.core.errors import EnvironmentProblem, HeadraceError, UsageError
from headrace.registry.sqlite_errors import sqlite_problem

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"
_URI_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
# A site's store need not be reachable from where MLflow is: then MLflow's client, which is handed
# signed links to it, tries them for ten minutes and fails.
_THROUGH_SERVER = {
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
}
_RACES = 5
# MLflow's words for "you asked for something that isn't there or cannot be".
_MISTAKES = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE")


def connect(tracking_uri: str) -> MlflowClient:
    """A client for MLflow at `tracking_uri`, tracking and registry both.

    Files go through MLflow's server, unless the environment says otherwise.
    The client's own connections are made on first use; wrap that in `foreign_errors`.
    """
    quieten()
    for name, value in _THROUGH_SERVER.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise EnvironmentProblem(
            "MLflow is not installed.", hint="pip install 'headrace[mlflow]'"
        ) from error
    return MlflowClient(tracking_uri, registry_uri=tracking_uri)


def quieten() -> None:
    """Keep MLflow from reporting usage over the network and from printing what we say better."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    for name in ("mlflow.store.db.utils", "mlflow.store.model_registry", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def import_mlflow() -> None:
    """Import all of MLflow that recording and the registry use: seconds, so do it early."""
    quieten()
    import mlflow.store.model_registry.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def database_of(tracking_uri: str) -> Path | None:
    """The SQLite file behind a tracking URI; None when MLflow is a server or a folder."""
    if not tracking_uri.startswith(_SQLITE):
        return None
    return Path(unquote(tracking_uri.removeprefix(_SQLITE).partition("?")[0]))


@contextmanager
def as_default(tracking_uri: str) -> Iterator[None]:
    """Have MLflow's own functions, which ask no client, work on `tracking_uri`.

    Through the environment, which holds the same within a step anyway: `mlflow.set_tracking_uri`
    would last, and would write into the environment too.
    """
    before = {name: os.environ.get(name) for name in _URI_VARIABLES}
    os.environ.update(dict.fromkeys(_URI_VARIABLES, tracking_uri))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def foreign_errors(doing: str, tracking_uri: str) -> Iterator[None]:
    """Turn whatever MLflow raises inside into ours.

    Args:
        doing: What was attempted, to follow "could not": "register the model".
        tracking_uri: Where MLflow's data is.

    Raises:
        EnvironmentProblem: The database is locked, full, damaged, of another version, or
            the server cannot be reached.
        UsageError: MLflow refused what it was asked for.
    """
    try:
        yield
    except HeadraceError:
        raise
    except Exception as error:
        problem = _translate(error, doing, tracking_uri)
        if problem is None:
            raise
        raise problem from error


def despite_races(action: Callable[[], None]) -> None:
    """Do `action`, and again if another process has just written the same row.

    MLflow looks for a dataset, a tag or a metric and adds it where it is missing, in two steps:
    of two processes that do so at once, one fails, and finds the row when it tries again.
    """
    for _ in range(_RACES):
        try:
            return action()
        except Exception as error:
            if not any(isinstance(cause, sqlite3.IntegrityError) for cause in _causes(error)):
                raise
    return action()


def _translate(error: Exception, doing: str, tracking_uri: str) -> HeadraceError | None:
    causes = list(_causes(error))
    database = database_of(tracking_uri)
    where = str(database or tracking_uri)
    for cause in causes:
        # Broken constraints and wrong SQL are MLflow's affair, not the file's.
        of_the_file = isinstance(cause, sqlite3.OperationalError) or type(cause) is sqlite3.Error
        if (of_the_file or type(cause) is sqlite3.DatabaseError) and database is not None:
            return sqlite_problem(cause, database)
        if isinstance(cause, OSError):
            return EnvironmentProblem(
                f"Headrace could not {doing}: {cause.strerror or cause}.",
                where=str(cause.filename or where),
                hint="see that MLflow can be reached and that there is room on the disk",
            )
    if not any(_is_foreign(cause) for cause in causes):
        return None
    text = str(error).strip().removesuffix(".")
    if "out-of-date database schema" in text or "Can't locate revision" in text:
        return EnvironmentProblem(
            f"Headrace could not {doing}: MLflow's database is of another version than the "
            f"installed MLflow.",
            where=where,
            hint="headrace doctor says which is the newer",
        )
    if str(getattr(error, "error_code", "")) in _MISTAKES:
        return UsageError(f"Headrace could not {doing}: {text}.", where=where)
    return EnvironmentProblem(f"Headrace could not {doing}: {text}.", where=where)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it, the driver's own error inside SQLAlchemy's included."""
    seen: set[int] = set()
    queue: list[object] = [error]
    while queue:
        one = queue.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            queue += [getattr(one, "orig", None), one.__cause__, one.__context__]


def _is_foreign(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in ("mlflow", "sqlalchemy", "alembic")
