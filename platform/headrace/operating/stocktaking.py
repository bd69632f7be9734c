"""What lies on a site: objects of runs on the cluster, and in the store what runs left there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from headrace.cluster import errors, kinds, labels
from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.problems import condition
from headrace.data.store import Entry, Store
from headrace.executing.pod import RESULT_FILE
from headrace.operating import seeing
from headrace.operating.seen import OVER

_AT_ONCE = 16
_PARTS = ("artifacts", "cache", "checkpoints", "code", "runs", "events/spark")


@dataclass(frozen=True, kw_only=True)
class Thing:
    """An object on the cluster that belongs to a run, and to no other object."""

    kind: str
    """Its plural kind, such as `jobs`."""
    name: str
    """Its name."""
    run: str
    """The run that it says it belongs to."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Everything below a URI of the store."""

    uri: str
    """Where it lies."""
    size: int
    """Bytes."""
    modified: float
    """When anything in it was written last, in Unix seconds."""


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """A result that steps may find again."""

    uri: str
    """Where the entry lies."""
    key: str
    """The fingerprint."""
    run: str
    """The run that made the result."""
    artifacts: tuple[str, ...]
    """The URIs of its artifacts."""
    size: int
    """Bytes of the entry itself."""


@dataclass(frozen=True, kw_only=True)
class SiteStock:
    """Everything on a site that cleaning could touch."""

    things: tuple[Thing, ...] = ()
    """Objects on the cluster."""
    active: frozenset[str] = frozenset()
    """Labels of the runs of which a pod or a Job has not ended."""
    codes: frozenset[str] = frozenset()
    """The beginnings of the digests of the code that pods run."""
    artifacts: str = ""
    """The URI below which artifacts lie, in a folder for each run."""
    results: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)
    """By run, the objects of its artifacts, by their path below that URI."""
    records: Mapping[str, Folder] = field(default_factory=dict)
    """By run, its steps' records, logs and evidence."""
    promised: frozenset[str] = frozenset()
    """URIs of the artifacts of steps that came to a good end."""
    cache: tuple[CacheEntry, ...] = ()
    """What steps may find again."""
    checkpoints: Mapping[str, Folder] = field(default_factory=dict)
    """By fingerprint, checkpoints of trainings."""
    code: Mapping[str, Folder] = field(default_factory=dict)
    """By digest, code bundles."""
    spark: tuple[Folder, ...] = ()
    """Spark's event logs."""


def take_stock(cluster: Cluster, store: Store, *, is_run: Callable[[str], bool]) -> SiteStock:
    """Look through a site. Changes nothing.

    Args:
        cluster: The cluster.
        store: The site's store.
        is_run: Whether a folder's name is that of a run which a client drove. What Kubeflow
            Pipelines keeps beside them is its own affair.

    Raises:
        HeadraceError: Cluster or store do not answer, or forbid it.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        listed = dict(
            zip(_PARTS, pool.map(lambda one: store.listing(store.uri(one)), _PARTS), strict=True)
        )
        cache = tuple(pool.map(lambda one: _cache_entry(store, *one), listed["cache"].items()))
        ends = [one for one in listed["runs"] if one.endswith(f"/{RESULT_FILE}")]
        promised = list(pool.map(lambda one: _promised(store, one), ends))
    pods = _of_runs(cluster, "pods")
    runs = {one for one in {_first(one) for one in listed["artifacts"]} if is_run(one)}
    artifacts = {one: entry for one, entry in listed["artifacts"].items() if _first(one) in runs}
    return SiteStock(
        things=tuple(_things(cluster)),
        active=frozenset(
            # A Job that stands in a queue, or finds no room in a quota, has no pod yet.
            [_run(one) for one in pods if _is_active(one)]
            + [_run(one) for one in _of_runs(cluster, "jobs") if _goes_on(one)]
        ),
        codes=frozenset(one["metadata"]["labels"].get(labels.CODE, "") for one in pods),
        artifacts=store.uri("artifacts"),
        results=_results(artifacts),
        records=_folders(store.uri("runs"), listed["runs"]),
        promised=frozenset(uri for some in promised for uri in some),
        cache=cache,
        checkpoints=_folders(store.uri("checkpoints"), listed["checkpoints"]),
        code=_folders(store.uri("code"), listed["code"]),
        spark=tuple(_folders(store.uri("events/spark"), _logs(listed["events/spark"])).values()),
    )


def _things(cluster: Cluster) -> Iterator[Thing]:
    for kind in kinds.OF_RUNS:
        for one in _of_runs(cluster, kind):
            if not one["metadata"].get("ownerReferences"):
                yield Thing(kind=kind, name=one["metadata"]["name"], run=_run(one))


def _of_runs(cluster: Cluster, kind: str) -> list[Manifest]:
    marks = f"{labels.selector(labels.MANAGED)},{labels.RUN},{labels.ROLE}!={seeing.SERVER}"
    with suppress(errors.NotThere):  # a cluster without KubeRay
        return cluster.list(kind, marks)
    return []


def _run(thing: Manifest) -> str:
    return str(thing["metadata"]["labels"][labels.RUN])


def _is_active(pod: Manifest) -> bool:
    """Whether a pod is at work and meant to go on."""
    leaving = "deletionTimestamp" in pod["metadata"]
    return not leaving and pod.get("status", {}).get("phase") not in OVER


def _goes_on(job: Manifest) -> bool:
    """Whether a Job has not ended."""
    ended = any(condition(job, kind).get("status") == "True" for kind in ("Complete", "Failed"))
    return not ended and "deletionTimestamp" not in job["metadata"]


def _cache_entry(store: Store, name: str, entry: Entry) -> CacheEntry:
    uri = store.uri("cache", name)
    found = _parsed(store.read(uri))
    made = (found.get("outputs") or {}).get("artifacts") or {}
    return CacheEntry(
        uri=uri,
        key=name.removesuffix(".json"),
        run=str(found.get("run", "")),
        artifacts=tuple(str(one["uri"]) for some in made.values() for one in some),
        size=entry.size,
    )


def _promised(store: Store, path: str) -> list[str]:
    """The artifacts of one attempt that ended well."""
    found = _parsed(store.read(store.uri("runs", path)))
    if found.get("state") != "succeeded":
        return []
    return [str(one.get("uri", "")) for one in (found.get("artifacts") or {}).values()]


def _parsed(content: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _results(artifacts: Mapping[str, Entry]) -> dict[str, dict[str, Entry]]:
    found: dict[str, dict[str, Entry]] = {}
    for path, entry in artifacts.items():
        found.setdefault(_first(path), {})[path] = entry
    return found


def _folders(root: str, listed: Mapping[str, Entry]) -> dict[str, Folder]:
    """What lies directly below a URI, files and folders alike, by name."""
    found: dict[str, list[Entry]] = {}
    for path, entry in listed.items():
        found.setdefault(_first(path), []).append(entry)
    return {
        name.rpartition(".zip")[0] or name: _folder(f"{root}/{name}", some)
        for name, some in found.items()
    }


def _logs(listed: Mapping[str, Entry]) -> dict[str, Entry]:
    return {path: entry for path, entry in listed.items() if not path.endswith(".keep")}


def _folder(uri: str, entries: Iterable[Entry]) -> Folder:
    some = list(entries)
    return Folder(
        uri=uri,
        size=sum(one.size for one in some),
        modified=max(one.modified for one in some),
    )


def _first(path: str) -> str:
    return path.partition("/")[0]
