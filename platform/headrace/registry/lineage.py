"""Where a model comes from: walked back through its run's journal. Pure but for reading it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.registry.attachments import local_path
from headrace.sites.journal import Event, read_events

_DATASET = "system.Dataset"


@dataclass(frozen=True, kw_only=True)
class DatasetSource:
    """A dataset that a model's making has read or written on the way."""

    name: str
    """As its step calls it."""
    uri: str
    """Where it lies."""
    digest: str
    """`sha256:...`; empty when it has none."""
    step: str
    """The step that made it; empty when it came from outside of the run."""


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """What led to a model."""

    run: str = ""
    """The pipeline run."""
    pipeline: str = ""
    """The pipeline's name."""
    source: str = ""
    """The pipeline's path, as its user gave it."""
    code_digest: str = ""
    """Digest of the project's code."""
    git: Mapping[str, Any] = field(default_factory=dict)
    """`commit`, `branch`, `dirty`; empty outside of a repository."""
    step: str = ""
    """The step that made the model."""
    steps: tuple[str, ...] = ()
    """All steps on the way to it, in the order in which they ended."""
    reused: Mapping[str, str] = field(default_factory=dict)
    """For each of them that was reused, the run in which it truly ran."""
    datasets: tuple[DatasetSource, ...] = ()
    """Every dataset on the way to it."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Figures of the step that made it and of those that have measured it."""

    @property
    def datasets_text(self) -> str:
        """The datasets as JSON."""
        return json.dumps([vars(one) for one in self.datasets])


def trace(run_folder: Path, model_uri: str) -> Lineage:
    """The lineage of the model at `model_uri`, an output of some step of the run.

    Args:
        run_folder: The run's folder.
        model_uri: URI or path of the model's folder.
    """
    events = read_events(run_folder)
    started: Event = next((one for one in events if one["type"] == "run_started"), {})
    finished = [one for one in events if one["type"] == "step_finished"]
    makers = {uri: event for event in finished for uri in _uris(event, "outputs")}
    model = _place(model_uri)
    maker = makers.get(model)
    ancestors = _ancestors(maker, makers) if maker else {}
    ordered = [event for event in finished if event["step"] in ancestors]
    return Lineage(
        run=str(started.get("run", "")),
        pipeline=str(started.get("pipeline", "")),
        source=str(started.get("source", "")),
        code_digest=str(started.get("code_digest") or ""),
        git=started.get("git") or {},
        step=maker["step"] if maker else "",
        steps=tuple(dict.fromkeys(event["step"] for event in ordered)),
        reused={e["step"]: e["reused_from"] for e in ordered if e.get("reused_from")},
        datasets=tuple(_datasets(ordered, makers)),
        metrics=_metrics(finished, maker, model),
    )


def _place(uri: str) -> str:
    path = local_path(uri)
    return str(path.absolute()) if path is not None else uri.rstrip("/")


def _artifacts(event: Event, side: str) -> Iterator[Event]:
    named = event.get(side) or {}
    if side == "outputs":
        named = named.get("artifacts") or {}
    for artifacts in named.values():
        yield from artifacts


def _uris(event: Event, side: str) -> Iterator[str]:
    for artifact in _artifacts(event, side):
        yield _place(str(artifact.get("uri") or ""))


def _ancestors(maker: Event, makers: Mapping[str, Event]) -> dict[str, Event]:
    found: dict[str, Event] = {}
    queue = [maker]
    while queue:
        event = queue.pop()
        if event["step"] in found:
            continue
        found[event["step"]] = event
        queue += [makers[uri] for uri in _uris(event, "inputs") if uri in makers]
    return found


def _datasets(ordered: list[Event], makers: Mapping[str, Event]) -> Iterator[DatasetSource]:
    seen: set[str] = set()
    for event in ordered:
        for artifact in [*_artifacts(event, "inputs"), *_artifacts(event, "outputs")]:
            uri = str(artifact.get("uri") or "")
            kind = str(artifact.get("type", "")).partition("@")[0]
            maker = makers.get(_place(uri))
            if uri in seen or not (kind == _DATASET or maker is None):
                continue
            seen.add(uri)
            yield DatasetSource(
                name=str(artifact.get("name") or ""),
                uri=uri,
                digest=str(artifact.get("digest") or ""),
                step=maker["step"] if maker else "",
            )


def _metrics(finished: list[Event], maker: Event | None, model: str) -> dict[str, float]:
    found: dict[str, float] = dict(maker.get("metrics") or {}) if maker else {}
    for event in finished:
        if model in _uris(event, "inputs"):
            found |= event.get("metrics") or {}
    return found
