"""Gathers what is known of why a run failed or waits: here, in its store, on its cluster."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.cluster import labels
from headrace.cluster.client import Manifest
from headrace.core.errors import HeadraceError
from headrace.core.states import State
from headrace.data.store import Store
from headrace.executing import reports
from headrace.executing.pod import LOG_FILE
from headrace.operating import seeing
from headrace.operating.facts import Facts, StepFacts
from headrace.operating.queued import Queued
from headrace.operating.seen import Seen
from headrace.running.evidence import FILE
from headrace.sites.journal import Event

_LOG_LINES = 200
_EXECUTORS = "evidence/executors.json"
_RAY_PODS = "ray/pods.json"
_RAY_JOB = "ray/rayjob.json"


@dataclass(kw_only=True)
class _Step:
    """A step as the journal tells of it."""

    step: str
    name: str
    engine: str = ""
    state: State = State.PENDING
    attempt: int = 1
    log: str = ""
    error: Mapping[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where to look."""

    run: str
    """The id under which the site knows the run."""
    events: Sequence[Event]
    """The journal."""
    folder: Path | None = None
    """The run's folder on this machine."""
    store: Store | None = None
    """The site's store."""
    seen: Seen | None = None
    """What the cluster shows."""


def gather(sources: Sources, *, state: State, killed: bool, site: str, only: str = "") -> Facts:
    """Everything that is known of a run's failed steps and of those under way.

    Args:
        sources: Where to look.
        state: The run's state.
        killed: Whether its client went without a word.
        site: Its site, as people write it.
        only: The path of the one step that matters; empty for all.
    """
    ends = [one for one in sources.events if one["type"] == "run_finished"]
    steps = [
        _facts(sources, one)
        for one in _steps(sources.events)
        if one.state in (State.FAILED, State.RUNNING, State.CANCELLED) and only in ("", one.step)
    ]
    return Facts(
        run=sources.run,
        state=state,
        killed=killed,
        site=site,
        active=sources.seen is not None and sources.seen.active,
        error=ends[-1].get("error") if ends else None,
        steps=tuple(steps),
    )


def _steps(events: Iterable[Event]) -> Iterable[_Step]:
    known: dict[str, _Step] = {}
    for event in events:
        if "step" not in event:
            continue
        name = str(event.get("name") or event["step"])
        one = known.setdefault(event["step"], _Step(step=event["step"], name=name))
        _take(one, event)
    return known.values()


def _take(step: _Step, event: Event) -> None:
    match event["type"]:
        case "step_started":
            step.state, step.attempt = State.RUNNING, int(event.get("attempt") or 1)
            step.log, step.error = str(event.get("log") or ""), None
            step.engine = str(event.get("engine") or "")
        case "step_note":
            step.notes.append(str(event["text"]))
        case "step_finished":
            step.state, step.error = State(event["state"]), event.get("error")
            step.attempt = int(event.get("attempt") or step.attempt)


def _facts(sources: Sources, step: _Step) -> StepFacts:
    places: dict[str, str] = {}
    kept = _evidence(sources, step, places)
    pods, events = _with_live(sources.seen, step, kept)

    return StepFacts(
        step=step.step,
        name=step.name,
        engine=step.engine,
        state=step.state,
        attempt=step.attempt,
        error=step.error,
        notes=tuple(step.notes),
        pods=pods,
        events=events,
        queued=_queued(sources.seen, step),
        executors=_stored(sources, step, _EXECUTORS, places, "executors") or {},
        ray=tuple(_stored(sources, step, _RAY_PODS, places, "ray") or ()),
        ray_job=(_stored(sources, step, _RAY_JOB, {}, "") or {}).get("status") or {},
        log=_log(sources, step, places),
        places=places,
    )


def _evidence(sources: Sources, step: _Step, places: dict[str, str]) -> Mapping[str, Any]:
    """What was kept of the attempt's pods when it failed."""
    job = labels.name(sources.run, step.step, str(step.attempt))
    if sources.folder is not None:
        file = sources.folder / "evidence" / job / FILE
        with suppress(OSError, ValueError):
            found: Mapping[str, Any] = json.loads(file.read_text())
            places["pods"] = str(file)
            return found
    if step.state is not State.FAILED:
        return {}
    return _stored(sources, step, f"evidence/{FILE}", places, "pods") or {}


def _with_live(
    seen: Seen | None, step: _Step, kept: Mapping[str, Any]
) -> tuple[tuple[Manifest, ...], tuple[Manifest, ...]]:
    """The step's pods and their events: those that are there, and those that were kept."""
    pods = {one["metadata"]["name"]: one for one in kept.get("pods") or ()}
    events = list(kept.get("events") or ())
    if seen is not None:
        mine = [one for one in seen.manifests if seeing.belongs(seeing.step_of(one), step.step)]
        pods = {one["metadata"]["name"]: one for one in mine} | pods
        if step.state is not State.FAILED:
            events += seen.events
    return tuple(pods.values()), tuple(events)


def _queued(seen: Seen | None, step: _Step) -> tuple[Queued, ...]:
    """What of the step stands in a queue at this moment."""
    found = seen.queued if seen else ()
    return tuple(one for one in found if seeing.belongs(one.step, step.step))


def _stored(sources: Sources, step: _Step, path: str, places: dict[str, str], kind: str) -> Any:
    """A JSON file of the attempt's folder in the store; None if there is none."""
    uri = _uri(sources, step, path)
    if sources.store is None or not uri:
        return None
    with suppress(HeadraceError, ValueError):
        content = sources.store.read(uri)
        if content is not None:
            places[kind] = uri
            return json.loads(content)
    return None


def _uri(sources: Sources, step: _Step, path: str) -> str:
    if sources.store is None:
        return ""
    folder = ("runs", sources.run, "steps", step.step, str(step.attempt))
    return sources.store.uri(*folder, path)


def _log(sources: Sources, step: _Step, places: dict[str, str]) -> tuple[str, ...]:
    """The last lines of the step's own log, from here or from the store."""
    if sources.folder is not None and step.log:
        file = sources.folder / step.log
        with suppress(OSError), file.open(encoding="utf-8", errors="replace") as lines:
            last = deque((one.rstrip("\n") for one in lines), maxlen=_LOG_LINES)
            places["log"] = str(file)
            return tuple(last)
    if sources.store is not None:
        with suppress(HeadraceError):
            uri = _uri(sources, step, LOG_FILE)
            if (content := sources.store.read(uri)) is not None:
                places["log"] = uri
                text = content.decode(errors="replace").splitlines()
                return tuple(one for one in text if reports.read(one) is None)[-_LOG_LINES:]
    return ()
