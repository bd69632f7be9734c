"""A run that was begun elsewhere, as far as its site remembers it: the store and the pods."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from headrace.cluster import labels
from headrace.cluster.client import Cluster
from headrace.core.states import State
from headrace.data.store import Entry, Store
from headrace.executing.pod import JOB_FILE, RESULT_FILE
from headrace.operating.seen import PodSeen, Seen
from headrace.sites.journal import FILE, Event, parse

_ATTEMPT = re.compile(rf"(?P<step>.+)/(?P<attempt>\d+)/(?P<file>{JOB_FILE}|{RESULT_FILE})")
_NAMED = re.compile(r"(?P<pipeline>.+)-(?P<moment>\d{8}-\d{6})-[0-9a-f]{4}")
LOST = "its pod went without a result"


def runs_of(cluster: Cluster | None, store: Store | None) -> set[str]:
    """The ids of the runs that a site remembers.

    Raises:
        HeadraceError: Cluster or store do not answer.
    """
    found = set(store.folders(store.uri("runs"))) if store else set()
    if cluster:
        found |= {
            str(pod["metadata"]["labels"][labels.RUN])
            for pod in cluster.list("pods", f"{labels.selector(labels.MANAGED)},{labels.RUN}")
        }
    return found


def is_run(name: str, store: Store | None = None) -> bool:
    """Whether a name is that of a run which a client of Headrace's drives.

    Args:
        name: The name.
        store: Tells it of names that people chose, by the journal.
    """
    if _NAMED.fullmatch(name):
        return True
    return store is not None and bool(store.listing(_journal_of(name, store)))


def pipeline_of(run: str) -> str:
    """The pipeline that a run's id names."""
    match = _NAMED.fullmatch(run)
    return match["pipeline"] if match else run


def recall(store: Store | None, run: str, seen: Seen, site: Mapping[str, str]) -> list[Event]:
    """The run's journal as far as it can be put together again; empty if nothing is known.

    Raises:
        HeadraceError: The store does not answer.
    """
    files: dict[str, Entry] = {}
    folder = ""
    told: list[Event] = []
    if store is not None:
        told = parse(store.read(_journal_of(run, store)) or b"")
        if told and told[-1]["type"] == "run_finished":
            return told
        folder = store.uri("runs", run, "steps")
        files = store.listing(folder)

    def read(path: str) -> dict[str, Any]:
        content = store.read(f"{folder}/{path}") if store else None
        found = json.loads(content or b"{}")
        return found if isinstance(found, dict) else {}

    attempts = list(_attempts(files, read))
    queued = {one.step for one in seen.queued}
    made = journal(run, attempts, seen.pods, site, queued) if attempts or seen.pods else []
    return [*told[:1], *made[1:]] if told else made


def journal(
    run: str,
    attempts: Iterable[Mapping[str, Any]],
    pods: Sequence[PodSeen],
    site: Mapping[str, str],
    queued: Collection[str] = (),
) -> list[Event]:
    """Events as the run's own client would have written them. Pure.

    Args:
        run: The run's id.
        attempts: `step`, `attempt`, `began`, `job` and `result` of each attempt in the store.
        pods: What the cluster shows of it.
        site: Its context and namespace.
        queued: The steps that stand in a queue and have no pod yet.
    """
    active = {*queued, *(one.step for one in pods if one.active)}
    known = {one["step"] for one in attempts}
    events: list[Event] = []
    for one in sorted(attempts, key=lambda one: (one["began"], one["attempt"])):
        events += _attempt_events(one, active=one["step"] in active)
    for pod in pods:
        if pod.role == "step" and pod.step not in known:
            events.append(_started(pod.step, pod.started or 0.0, "", max(pod.attempt, 1), {}))
    events.sort(key=lambda one: one["time"])
    first = events[0]["time"] if events else min((p.started or 0.0 for p in pods), default=0.0)
    start: Event = {
        "type": "run_started", "time": first, "run": run, "pipeline": pipeline_of(run),
        "site": dict(site), "pid": None, "plan": [], "steps_total": 0,
    }  # fmt: skip
    return [start, *events, *_end(events, first, active=bool(active))]


def _attempts(files: Mapping[str, Entry], read: Any) -> Iterable[dict[str, Any]]:
    found: dict[tuple[str, int], dict[str, float]] = {}
    for path, entry in files.items():
        if match := _ATTEMPT.fullmatch(path):
            which = (match["step"], int(match["attempt"]))
            found.setdefault(which, {})[match["file"]] = entry.modified
    for (step, attempt), moments in found.items():
        folder = f"{step}/{attempt}"
        yield {
            "step": step, "attempt": attempt, "began": min(moments.values()),
            "job": read(f"{folder}/{JOB_FILE}") if JOB_FILE in moments else {},
            "result": read(f"{folder}/{RESULT_FILE}") if RESULT_FILE in moments else None,
        }  # fmt: skip


def _attempt_events(one: Mapping[str, Any], *, active: bool) -> list[Event]:
    step, job, result = one["step"], one["job"], one["result"]
    inputs = job.get("executor_input", {}).get("inputs", {})
    engine = str(job.get("engine", ""))
    began = _started(
        step, one["began"], engine, one["attempt"], inputs.get("parameterValues") or {}
    )
    if result is None and active:
        return [began]
    found = result or {"state": State.CANCELLED, "reason": LOST}
    ended = float(found.get("ended") or one["began"])
    artifacts = {name: [made] for name, made in (found.get("artifacts") or {}).items()}
    end: Event = {
        "type": "step_finished", "time": ended, "step": step, "name": name_of(step),
        "engine": engine, "state": found["state"], "attempt": one["attempt"],
        "seconds": max(0.0, ended - one["began"]), "error": found.get("error"),
        "reason": found.get("reason", ""), "parameters": began["parameters"],
        "outputs": {"parameters": found.get("parameters") or {}, "artifacts": artifacts},
    }  # fmt: skip
    return [began, end]


def _started(
    step: str, moment: float, engine: str, attempt: int, parameters: Mapping[str, Any]
) -> Event:
    return {
        "type": "step_started", "time": moment, "step": step, "name": name_of(step),
        "engine": engine, "attempt": attempt, "parameters": dict(parameters), "log": "",
    }  # fmt: skip


def name_of(path: str) -> str:
    """What people call the step at a path: `for-loop-2/0/train` is `train[0]`."""
    *before, last = path.split("/")
    return last + "".join(f"[{part}]" for part in before if part.isdigit())


def _end(events: Sequence[Event], began: float, *, active: bool) -> list[Event]:
    """How it ended, if that is certain: a failed step ends its run, whoever drives it."""
    last = {one["step"]: one for one in events if one["type"] == "step_finished"}
    failed = [one for one in last.values() if one["state"] == State.FAILED]
    if active or not failed:
        return []
    moment = max(one["time"] for one in events)
    return [
        {
            "type": "run_finished", "time": moment, "state": State.FAILED,
            "seconds": moment - began, "error": failed[0]["error"], "outputs": {},
        }
    ]  # fmt: skip


def moment(run: str, store: Store | None = None) -> str:
    """When a run began, as far as its id or its journal tells; see `stamp`."""
    match = _NAMED.fullmatch(run)
    if match:
        return match["moment"]
    first = parse(store.read(_journal_of(run, store)) or b"")[:1] if store else []
    return stamp(first[0]["time"]) if first else ""


def stamp(seconds: float) -> str:
    """A time as it stands in the ids of runs: in the order of letters, it is in order of time."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%d-%H%M%S}"


def _journal_of(run: str, store: Store) -> str:
    return store.uri("runs", run, FILE)
