"""What to remove, decided from what is there: pure, so that a dry run shows the very plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from pathlib import Path

from headrace.cli.cleaning.inventory import RunStock, Stock

CRASH_DAYS = 30.0
"""How long tracebacks of Headrace's own are kept without being asked."""

_DAY_SECONDS = 86400.0


class Kind(StrEnum):
    """What a removal takes away, in the order in which it must be done."""

    CACHE = "cache entry"
    """Nothing may find a result before the result goes."""
    RESULT = "result"
    """A step's outputs."""
    HALF_WRITTEN = "half-written result"
    """Outputs that no step ever read."""
    RUN = "run"
    """A run's journal and logs."""
    CODE = "code bundle"
    """A project's code as steps of removed runs found it."""
    CRASH = "crash report"
    """A traceback of Headrace's own."""
    FOLDER = "folder"
    """All of a part of the home."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """One thing to remove."""

    path: Path
    """A file or a folder with all that is in it."""
    kind: Kind
    """What it is."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Something that was asked away and stays."""

    path: Path
    """What stays."""
    why: str
    """Who relies on it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that one cleaning does to the files of a home."""

    removals: tuple[Removal, ...]
    """In the order in which they are done."""
    kept: tuple[Kept, ...]
    """What stays although its run goes."""
    notes: tuple[str, ...]
    """What will be different afterwards, in sentences."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the user asked for."""

    before: float | None = None
    """Remove runs that started earlier, in unix seconds."""
    keep: int | None = None
    """Remove all but that many of the latest runs of each pipeline."""
    cache: bool = False
    """Forget all earlier results."""


Aliases = Mapping[str, tuple[str, ...]]
"""The aliases that name a model version, by `NAME/VERSION`. MLflow holds copies of the models'
files, so what a version relies on is only the run that tells where it comes from."""


def make_plan(stock: Stock, wish: Wish, aliases: Aliases, *, now: float) -> Plan:
    """Decide. What a run that stays relies on is kept and told, and so is an alias's run."""
    asked = list(_asked(stock, wish))
    kept: list[Kept] = []
    going: dict[str, RunStock] = {}
    for run in asked:
        if why := _holds_alias(run, aliases):
            kept.append(Kept(path=run.folder, why=why))
        else:
            going[run.view.run] = run
    results = list(_results(stock, going, kept))
    gone = {removal.path for removal in results}
    removals = [
        *_cache(stock, wish, gone),
        *results,
        *(Removal(path=run.folder, kind=Kind.RUN) for run in going.values()),
        *_code(stock, going),
        *_crashes(stock, wish, now),
    ]
    notes = tuple(_notes(going, removals, wish))
    return Plan(removals=tuple(removals), kept=tuple(kept), notes=notes)


def _asked(stock: Stock, wish: Wish) -> Iterator[RunStock]:
    """The runs that the wish names; one at work is never among them."""
    by_pipeline = sorted(stock.runs, key=lambda run: run.view.pipeline)
    for _, group in groupby(by_pipeline, key=lambda run: run.view.pipeline):
        runs = list(group)
        surplus = len(runs) if wish.keep is None else len(runs) - wish.keep
        for place, run in enumerate(runs):
            old = wish.before is None or run.view.started < wish.before
            limited = wish.before is not None or wish.keep is not None
            if limited and old and place < surplus and run.over:
                yield run


def _holds_alias(run: RunStock, aliases: Aliases) -> str:
    for version in run.versions:
        name = f"{version.name}/{version.version}"
        if found := aliases.get(name):
            return f"it made {name}, which is {' and '.join(found)}"
    return ""


def _results(stock: Stock, going: Collection[str], kept: list[Kept]) -> Iterator[Removal]:
    """The step folders that nobody needs any more; those that somebody does go to `kept`."""
    runs = {run.view.run: run for run in stock.runs}
    users = _users(stock, going)
    for result in stock.results:
        owner = runs.get(result.run)
        stays = owner is not None and result.run not in going
        if stays and (result.complete or not (owner and owner.over)):
            continue
        if why := users(result.path):
            if result.run in going:
                kept.append(Kept(path=result.path, why=why))
            continue
        kind = Kind.RESULT if result.complete else Kind.HALF_WRITTEN
        yield Removal(path=result.path, kind=kind)


def _users(stock: Stock, going: Collection[str]) -> Callable[[Path], str]:
    """A function that says which of the staying runs uses what lies in a folder."""
    folders: dict[Path, str] = {}
    for run in stock.runs:
        if run.view.run not in going:
            for path in run.uses:
                for parent in (path, *path.parents):
                    folders.setdefault(parent, run.view.run)

    def user(path: Path) -> str:
        return f"run {folders[path]} uses it" if path in folders else ""

    return user


def _cache(stock: Stock, wish: Wish, gone: Collection[Path]) -> Iterator[Removal]:
    for entry, manifest in stock.cache.items():
        lost = manifest.parent in gone or manifest == entry or not manifest.exists()
        if wish.cache or lost:
            yield Removal(path=entry, kind=Kind.CACHE)


def _code(stock: Stock, going: Collection[str]) -> Iterator[Removal]:
    for bundle, users in stock.code.items():
        # One that no run has used yet may belong to a compiled pipeline that waits to be run.
        if users and users <= set(going):
            yield Removal(path=bundle, kind=Kind.CODE)


def _crashes(stock: Stock, wish: Wish, now: float) -> Iterator[Removal]:
    limit = now - CRASH_DAYS * _DAY_SECONDS if wish.before is None else wish.before
    for report in stock.crashes:
        if report.stat().st_mtime < limit:
            yield Removal(path=report, kind=Kind.CRASH)


def _notes(
    going: Mapping[str, RunStock], removals: Collection[Removal], wish: Wish
) -> Iterator[str]:
    entries = sum(removal.kind is Kind.CACHE for removal in removals)
    if wish.cache and entries:
        yield "Every step will run again: no earlier result is found any more."
    elif entries == 1:
        yield "1 result can no longer be reused: its step will run again."
    elif entries:
        yield f"{entries} results can no longer be reused: their steps will run again."
    versions = {f"{one.name}/{one.version}" for run in going.values() for one in run.versions}
    for version in sorted(versions):
        yield f"{version} stays in the registry, but the data it came from will be gone."
    if going:
        yield "MLflow keeps its own record of the runs: headrace open."
