"""Removes what a plan names, in its order."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from headrace.cli.cleaning.inventory import MANIFEST
from headrace.cli.cleaning.plan import Kind, Removal
from headrace.sites.home import Home


def carry_out(removals: Collection[Removal], home: Home) -> None:
    """Remove; then the empty folders that are left of the artifacts.

    Raises:
        OSError: Something cannot be removed. What was removed before stays removed, and
            nothing is left that a step could take for a result.
    """
    for removal in removals:
        if removal.kind is Kind.RESULT:
            # Without its manifest a result is none, however far the rest of this gets.
            (removal.path / MANIFEST).unlink(missing_ok=True)
        _remove(removal.path)
        if removal.kind in (Kind.RESULT, Kind.HALF_WRITTEN):
            _remove_empty(removal.path.parent, until=home.artifacts)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folder: Path, *, until: Path) -> None:
    while folder != until and folder.is_relative_to(until):
        with suppress(FileNotFoundError):
            if any(folder.iterdir()):
                return
            folder.rmdir()
        folder = folder.parent
