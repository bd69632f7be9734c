"""What lies in a home: runs, results and who relies on them, code, and what is nobody's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.cli.outcomes import ModelVersion, outcomes
from headrace.cli.telling import read_view
from headrace.cli.view import RunView
from headrace.core.states import State
from headrace.sites.home import Home
from headrace.sites.journal import read_events

MANIFEST = "manifest.json"
"""Stands in a step's folder once its outputs are complete."""


@dataclass(frozen=True, kw_only=True)
class RunStock:
    """One run and what it touches."""

    view: RunView
    """The run."""
    folder: Path
    """Its record and logs."""
    uses: frozenset[Path]
    """Paths of the artifacts that its steps read or made, those of other runs included."""
    versions: tuple[ModelVersion, ...]
    """The model versions that it registered."""

    @property
    def over(self) -> bool:
        """Whether nothing of it is at work any more."""
        return self.view.state is not State.RUNNING


@dataclass(frozen=True, kw_only=True)
class StepFolder:
    """The outputs of one step."""

    path: Path
    """The folder, below `artifacts/RUN`."""
    run: str
    """The run that made it."""
    complete: bool
    """Whether it has its manifest: no step reads it otherwise."""


@dataclass(frozen=True, kw_only=True)
class Stock:
    """Everything in a home that cleaning could touch."""

    home: Home
    """The home."""
    runs: tuple[RunStock, ...]
    """Oldest first."""
    results: tuple[StepFolder, ...]
    """Outputs of steps."""
    cache: Mapping[Path, Path]
    """Cache entries, each with the manifest that it names."""
    code: Mapping[Path, frozenset[str]]
    """Unpacked code bundles, each with the runs that used it."""
    crashes: tuple[Path, ...]
    """Tracebacks of Headrace's own mistakes."""


def take_stock(home: Home) -> Stock:
    """Look through the home. Changes nothing."""
    runs = tuple(sorted(_runs(home), key=lambda one: one.view.started))
    return Stock(
        home=home,
        runs=runs,
        results=tuple(_results(home)),
        cache=dict(_cache(home)),
        code=_code(home, runs),
        crashes=tuple(sorted((home.root / "crashes").glob("*.txt"))),
    )


def _runs(home: Home) -> Iterator[RunStock]:
    for folder in sorted(home.runs.glob("*")):
        view = read_view(folder)
        if view.run:
            yield RunStock(
                view=view,
                folder=folder,
                uses=frozenset(_artifact_paths(read_events(folder))),
                versions=outcomes(view).versions,
            )


def _artifact_paths(events: Iterable[Mapping[str, Any]]) -> Iterator[Path]:
    """Paths of all artifacts that a journal names."""
    return (Path(uri.removeprefix("file://")) for uri in artifact_uris(events))


def artifact_uris(events: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """URIs of all artifacts that a journal names, wherever they stand in it."""
    pending: list[Any] = list(events)
    while pending:
        match pending.pop():
            case {"uri": str(uri), "type": str(), **rest}:
                yield uri
                pending.extend(rest.values())
            case dict() as mapping:
                pending.extend(mapping.values())
            case list() as listed:
                pending.extend(listed)


def _results(home: Home) -> Iterator[StepFolder]:
    """Step folders: those with a manifest, and the top ones of whatever else lies there."""
    for run in sorted(home.artifacts.glob("*")):
        complete = {at.parent for at in _find(run, MANIFEST)}
        yield from (StepFolder(path=path, run=run.name, complete=True) for path in sorted(complete))
        around = {parent for path in complete for parent in path.parents}
        for folder, names, files in os.walk(run):
            here = Path(folder)
            if here in complete:
                names.clear()
            elif here not in around and (files or not names):
                names.clear()
                yield StepFolder(path=here, run=run.name, complete=False)


def _find(folder: Path, name: str) -> Iterator[Path]:
    for at, _, files in os.walk(folder):
        if name in files:
            yield Path(at, name)


def _cache(home: Home) -> Iterator[tuple[Path, Path]]:
    for entry in sorted(home.cache.glob("*.json")):
        try:
            yield entry, home.root / json.loads(entry.read_text())["manifest"]
        except (OSError, ValueError, KeyError, TypeError):
            yield entry, entry  # cannot be read: nothing relies on it


def _code(home: Home, runs: Iterable[RunStock]) -> dict[Path, frozenset[str]]:
    used: dict[str, set[str]] = {}
    for run in runs:
        used.setdefault(run.view.code_digest.removeprefix("sha256:"), set()).add(run.view.run)
    bundles = [path for path in sorted(home.code.glob("*")) if path.is_dir()]
    return {path: frozenset(used.get(path.name, ())) for path in bundles}


def disk_usage(path: Path) -> int:
    """Bytes that a file or folder takes on disk; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        try:
            return path.lstat().st_blocks * 512
        except OSError:
            return 0
    with os.scandir(path) as entries:
        return sum(disk_usage(Path(entry.path)) for entry in entries)
