"""The schema revisions that the installed MLflow knows, read without importing it.

Importing MLflow takes seconds; its migration scripts are small files that state their
revision and the one before, and that is all there is to know.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from headrace.core.errors import EnvironmentProblem

_REVISION = re.compile(r"^revision(?:: \w+)? = ['\"](\w+)['\"]", re.MULTILINE)
_DOWN_REVISION = re.compile(r"^down_revision(?:: [^=]+)? = (.+)$", re.MULTILINE)
_WORD = re.compile(r"['\"](\w+)['\"]")
_DISTRIBUTIONS = ("mlflow", "mlflow-skinny")


@dataclass(frozen=True, kw_only=True)
class Revisions:
    """What the installed MLflow knows of its database's history."""

    version: str
    """Version of the installed MLflow."""
    head: str
    """The newest revision, which this MLflow works with."""
    known: frozenset[str]
    """Every revision up to `head`."""


@cache
def installed_revisions() -> Revisions:
    """The revisions of the installed MLflow.

    Raises:
        EnvironmentProblem: MLflow is not installed, or its migrations are not as they should be.
    """
    spec = importlib.util.find_spec("mlflow")
    if spec is None or spec.origin is None:
        raise EnvironmentProblem("MLflow is not installed.", hint="pip install 'headrace[mlflow]'")
    folder = Path(spec.origin).parent / "store" / "db_migrations" / "versions"
    known: set[str] = set()
    followed: set[str] = set()
    for script in folder.glob("*.py"):
        text = script.read_text()
        if found := _REVISION.search(text):
            known.add(found[1])
            before = _DOWN_REVISION.search(text)
            followed.update(_WORD.findall(before[1]) if before else ())
    heads = known - followed
    if len(heads) != 1:
        raise EnvironmentProblem(
            f"The installed MLflow is damaged: its migrations end in {len(heads)} revisions.",
            where=str(folder),
            hint="reinstall it: pip install --force-reinstall mlflow",
        )
    return Revisions(version=_version(), head=heads.pop(), known=frozenset(known))


def _version() -> str:
    for name in _DISTRIBUTIONS:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
