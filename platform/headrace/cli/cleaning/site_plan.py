"""What to remove of a site, decided from what is there: pure, so that a dry run shows the plan."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from headrace.cluster import labels
from headrace.operating.stocktaking import Folder, SiteStock


class SiteKind(StrEnum):
    """What a removal takes away, in the order in which it must be done."""

    OBJECT = "object on the cluster"
    """A Job, pod or Ray cluster."""
    CACHE = "cache entry"
    """Nothing may find a result before the result goes."""
    RESULT = "result"
    """A run's artifacts."""
    HALF_WRITTEN = "half-written result"
    """Artifacts that no step ever read."""
    CHECKPOINT = "checkpoint"
    """Of a training that is done, or was given up."""
    RECORD = "run record"
    """A run's logs and evidence in the store."""
    SPARK = "Spark event log"
    """What Spark's history server reads."""
    CODE = "code bundle"
    """A project's code as steps found it."""


@dataclass(frozen=True, kw_only=True)
class SiteRemoval:
    """One thing to remove."""

    kind: SiteKind
    """What it is."""
    place: str
    """A URI; of an object, `KIND/NAME`."""
    size: int = 0
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class SiteKept:
    """Something that was asked away, or looks left over, and stays."""

    what: str
    """What stays."""
    why: str
    """Why."""


@dataclass(frozen=True, kw_only=True)
class SitePlan:
    """Everything that one cleaning does to a site."""

    removals: tuple[SiteRemoval, ...]
    """In the order in which they are done."""
    kept: tuple[SiteKept, ...]
    """What stays, and why."""
    notes: tuple[str, ...]
    """What will be different afterwards, in sentences."""


@dataclass(frozen=True, kw_only=True)
class KnownRun:
    """What this machine knows of a run of its own."""

    at_work: bool
    """Whether its client is."""
    uses: frozenset[str] = frozenset()
    """URIs of the artifacts that its steps read or made."""


@dataclass(frozen=True, kw_only=True)
class SiteWish:
    """What the user asked for."""

    before: float | None = None
    """Remove what runs left that did nothing since, in unix seconds."""
    cache: bool = False
    """Forget all earlier results."""
    run: str = ""
    """Only what belongs to this run, and all of it."""
    force: bool = False
    """Even if that run is at work."""


def make_site_plan(
    stock: SiteStock,
    known: Mapping[str, KnownRun],
    wish: SiteWish,
    aliases: Mapping[str, str],
) -> SitePlan:
    """Decide.

    Args:
        stock: What is there.
        known: The runs of this machine, by id.
        wish: What was asked for.
        aliases: By run, what it made that an alias names: its artifacts stay.
    """
    return _Planning(stock, known, wish, aliases).plan()


class _Planning:
    def __init__(
        self,
        stock: SiteStock,
        known: Mapping[str, KnownRun],
        wish: SiteWish,
        aliases: Mapping[str, str],
    ) -> None:
        self.stock, self.known, self.wish, self.aliases = stock, known, wish, aliases
        self.by_label = {labels.value(run): one for run, one in known.items()}
        self.kept: list[SiteKept] = []
        self.going = {one for one in self._runs() if self._goes(one)}

    def plan(self) -> SitePlan:
        results = list(self._results())
        gone = {one.place for one in results}
        removals = [
            *self._things(),
            *self._cache(gone),
            *results,
            *self._checkpoints(),
            *self._records(),
            *self._old(SiteKind.SPARK, self.stock.spark),
            *self._code(),
        ]
        notes = tuple(self._notes(removals))
        return SitePlan(removals=tuple(removals), kept=tuple(self.kept), notes=notes)

    def _runs(self) -> list[str]:
        stock = self.stock
        found = {*stock.results, *stock.records, *(one.run for one in stock.things)}
        wanted = self.wish.run
        return sorted(one for one in found if not wanted or self._means(one, wanted))

    @staticmethod
    def _means(run: str, wanted: str) -> bool:
        """Whether a run's id, or its label, is that of the run that is wanted."""
        return run in (wanted, labels.value(wanted))

    def at_work(self, run: str) -> bool:
        """Whether a client of ours or a pod works for the run."""
        mine = self.by_label.get(labels.value(run))
        return (mine is not None and mine.at_work) or labels.value(run) in self.stock.active

    def _goes(self, run: str) -> bool:
        """Whether all that a run has left is to go."""
        wish = self.wish
        if wish.run:
            return wish.force or not self.at_work(run)
        if wish.before is None or self.at_work(run):
            return False
        return self._last(run) < wish.before

    def _last(self, run: str) -> float:
        """When a run wrote anything last."""
        record = self.stock.records.get(run)
        files = self.stock.results.get(run, {}).values()
        moments = [one.modified for one in files] + ([record.modified] if record else [])
        return max(moments, default=0.0)

    def _things(self) -> Iterator[SiteRemoval]:
        busy: dict[str, int] = {}
        for one in self.stock.things:
            if self.wish.run and not self._means(one.run, self.wish.run):
                continue
            if self.at_work(one.run) and not (self.wish.run and self.wish.force):
                busy[one.run] = busy.get(one.run, 0) + 1
                continue
            yield SiteRemoval(kind=SiteKind.OBJECT, place=f"{one.kind}/{one.name}")
        for run in busy:
            mine = self.by_label.get(labels.value(run))
            client = "is at work" if mine is None or mine.at_work else "goes on without a client"
            self.kept.append(SiteKept(what=run, why=f"it {client}; headrace cancel ends it"))

    def _results(self) -> Iterator[SiteRemoval]:
        found = {**self._users(), **dict.fromkeys(self._reachable(), "")}
        for run, files in self.stock.results.items():
            if self.wish.run and run not in self.going:
                continue
            whole = {f"{self.stock.artifacts}/{path}": one.size for path, one in files.items()}
            if run in self.going:
                yield from self._all_of(run, whole)
            elif not self.at_work(run):
                for uri, size in folders_without(
                    whole, set(found), f"{self.stock.artifacts}/{run}"
                ):
                    yield SiteRemoval(kind=SiteKind.HALF_WRITTEN, place=uri, size=size)

    def _all_of(self, run: str, whole: Mapping[str, int]) -> Iterator[SiteRemoval]:
        """A run's artifacts, but for what others rely on."""
        if why := self.aliases.get(run):
            self.kept.append(SiteKept(what=f"artifacts/{run}", why=f"it made {why}"))
            return
        users = self._users()
        root = f"{self.stock.artifacts}/{run}"
        for uri in sorted(one for one in users if one.startswith(f"{root}/")):
            what = uri.removeprefix(f"{self.stock.artifacts}/")
            self.kept.append(SiteKept(what=what, why=f"run {users[uri]} uses it"))
        for uri, size in folders_without(whole, set(users), root):
            yield SiteRemoval(kind=SiteKind.RESULT, place=uri, size=size)

    def _users(self) -> dict[str, str]:
        """The artifacts that runs of this machine use which stay, each with such a run."""
        staying = {run: one for run, one in self.known.items() if run not in self.going}
        return {uri: run for run, one in staying.items() for uri in one.uses}

    def _reachable(self) -> set[str]:
        """The artifacts that a step's good end or the cache names."""
        return {*self.stock.promised, *(uri for one in self.stock.cache for uri in one.artifacts)}

    def _cache(self, gone: Collection[str]) -> Iterator[SiteRemoval]:
        root = self.stock.artifacts
        there = {f"{root}/{path}" for some in self.stock.results.values() for path in some}
        folders = {folder for uri in there for folder in _above(uri)} | there
        users = self._users()
        for one in self.stock.cache:
            mine = [uri for uri in one.artifacts if uri.startswith(f"{root}/")]
            lost = any(uri not in folders or _inside(uri, gone) for uri in mine)
            stays = any(uri in users for uri in one.artifacts)
            of_run = self.wish.run and one.run in self.going and not stays
            if of_run or (not self.wish.run and (self.wish.cache or lost)):
                yield SiteRemoval(kind=SiteKind.CACHE, place=one.uri, size=one.size)

    def _checkpoints(self) -> Iterator[SiteRemoval]:
        if self.wish.run:
            return
        done = {one.key for one in self.stock.cache}
        for key, folder in self.stock.checkpoints.items():
            if key in done or self._is_old(folder):
                yield _removal(SiteKind.CHECKPOINT, folder)

    def _records(self) -> Iterator[SiteRemoval]:
        for run in sorted(self.going & set(self.stock.records)):
            yield _removal(SiteKind.RECORD, self.stock.records[run])

    def _old(self, kind: SiteKind, folders: Collection[Folder]) -> Iterator[SiteRemoval]:
        yield from (_removal(kind, one) for one in folders if self._is_old(one))

    def _code(self) -> Iterator[SiteRemoval]:
        for digest, folder in self.stock.code.items():
            running = any(one and digest.startswith(one) for one in self.stock.codes)
            if self._is_old(folder) and not running:
                yield _removal(SiteKind.CODE, folder)

    def _is_old(self, folder: Folder) -> bool:
        wish = self.wish
        return not wish.run and wish.before is not None and folder.modified < wish.before

    def _notes(self, removals: Collection[SiteRemoval]) -> Iterator[str]:
        entries = sum(one.kind is SiteKind.CACHE for one in removals)
        if self.wish.cache and entries:
            yield "Every step will run again: no earlier result is found any more."
        elif entries:
            steps = "1 result" if entries == 1 else f"{entries} results"
            yield f"{steps} can no longer be reused."
        if any(one.kind is SiteKind.CODE for one in removals):
            yield (
                "A pipeline that was compiled for Kubeflow Pipelines with such code needs to be "
                "compiled again."
            )


def folders_without(
    files: Mapping[str, int], needed: Collection[str], root: str
) -> Iterator[tuple[str, int]]:
    """The largest folders, with their sizes, in which nothing that is needed lies.

    Args:
        files: URIs with their sizes.
        needed: URIs of files and folders that must stay.
        root: The URI above all of the files.
    """
    holding = {folder for uri in needed for folder in (uri, *_above(uri))}
    found: dict[str, int] = {}
    for uri, size in files.items():
        if any(folder in needed for folder in (uri, *_above(uri))):
            continue
        place = uri
        for folder in _above(uri):  # the nearest first
            if folder in holding or not folder.startswith(root):
                break
            place = folder
        found[place] = found.get(place, 0) + size
    yield from sorted(found.items())


def _above(uri: str) -> list[str]:
    """The folders above a URI, the nearest first."""
    found = []
    while "/" in uri.partition("://")[2]:
        uri = uri.rpartition("/")[0]
        found.append(uri)
    return found


def _inside(uri: str, gone: Collection[str]) -> bool:
    """Whether a URI goes with one of these."""
    return any(one in gone for one in (uri, *_above(uri)))


def _removal(kind: SiteKind, folder: Folder) -> SiteRemoval:
    return SiteRemoval(kind=kind, place=folder.uri, size=folder.size)
