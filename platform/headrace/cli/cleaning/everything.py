"""The plan for removing all that a home holds."""

from __future__ import annotations

from headrace.cli.cleaning.plan import Kind, Plan, Removal
from headrace.sites.home import Home

_LOOSE_FILES = ("mlflow.db*", "mlflow.log", "*.lock")
_OTHER_FOLDERS = ("crashes",)


def plan_everything(home: Home) -> Plan:
    """Every part of the home that Headrace made; whatever else lies there stays."""
    folders = [home.cache, home.artifacts, home.runs, home.code, home.servers, home.mlartifacts]
    folders += [home.checkpoints]
    folders += [home.root / name for name in _OTHER_FOLDERS]
    files = sorted(path for pattern in _LOOSE_FILES for path in home.root.glob(pattern))
    paths = [path for path in [*folders, *files] if path.exists()]
    notes = ("The registry goes too: all models, versions, aliases and decisions.",)
    return Plan(
        removals=tuple(Removal(path=path, kind=Kind.FOLDER) for path in paths),
        kept=(),
        notes=notes if home.database.exists() else (),
    )
