"""A run's events in MLflow's terms: names it accepts, parameters, tags, metrics, datasets.

Pure: what comes out are plain values, made into MLflow's entities where they are written.
"""

from __future__ import annotations

import getpass
import hashlib
import importlib.metadata
import json
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.core.states import State
from headrace.sites.journal import Event

RUN_TAG = "headrace.run"
STEP_TAG = "headrace.step"
FINGERPRINT_TAG = "headrace.fingerprint"
STATE_TAG = "headrace.state"

_FORBIDDEN = re.compile(r"[^\w\-. :/]", re.ASCII)
_INDEX = re.compile(r"\[(\w+)\]")
_PARAMETER_LENGTH = 6000
_TAG_LENGTH = 8000
_DIGEST_LENGTH = 36
_STATUSES = {
    State.SUCCEEDED: "FINISHED",
    State.REUSED: "FINISHED",
    State.FAILED: "FAILED",
    State.CANCELLED: "KILLED",
    State.SKIPPED: "FINISHED",
}
_DATASETS = {
    "inputs": ("system.Dataset", "system.Artifact"),  # what is imported may have no closer type
    "outputs": ("system.Dataset",),
}


@dataclass(frozen=True, kw_only=True)
class DatasetUse:
    """A dataset that a step read or wrote."""

    name: str
    """As the step calls it."""
    digest: str
    """At most 36 characters, which is what MLflow takes."""
    uri: str
    """Where it lies."""
    full_digest: str
    """The whole digest, `sha256:...`; empty when there is none."""
    context: str
    """"input" or "output"."""
    profile: str
    """The artifact's metadata as JSON."""


def status(state: State) -> str:
    """MLflow's status for one of our final states."""
    return _STATUSES.get(state, "KILLED")


def key(name: str) -> str:
    """`name` as MLflow takes it for a metric, a parameter or a tag: `train[0]` is `train/0`."""
    legal = _FORBIDDEN.sub("_", _INDEX.sub(r"/\1", name))
    # MLflow refuses what looks like a path that goes up, begins at the root or has empty parts.
    parts = [part for part in legal.split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[:250] or "_"


def text(value: object, limit: int = _TAG_LENGTH) -> str:
    """A value as a tag or parameter: strings as they are, all else as JSON, cut at `limit`."""
    shown = str(value) if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def parameters(values: Mapping[str, object]) -> dict[str, str]:
    """Parameters as MLflow takes them."""
    return {key(name): text(value, _PARAMETER_LENGTH) for name, value in values.items()}


def metrics(values: Mapping[str, object]) -> dict[str, float]:
    """The numbers among `values`, under names that MLflow takes."""
    return {
        key(name): float(value) for name, value in values.items() if isinstance(value, int | float)
    }


def milliseconds(seconds: float) -> int:
    """MLflow's clock."""
    return int(seconds * 1000)


def run_tags(event: Event) -> dict[str, str]:
    """Tags of the parent run, from `run_started`."""
    git = event.get("git") or {}
    tags = {
        RUN_TAG: event["run"],
        STATE_TAG: State.RUNNING,
        "headrace.pipeline": event.get("pipeline"),
        "headrace.code_digest": event.get("code_digest"),
        "headrace.version": _version(),
        "headrace.host": socket.gethostname(),
        "mlflow.user": user(),
        "mlflow.source.name": event.get("source"),
        "mlflow.source.type": "PROJECT",
        "mlflow.source.git.commit": git.get("commit"),
        "mlflow.source.git.branch": git.get("branch"),
        "mlflow.source.git.dirty": git.get("dirty"),
    }
    return _tags(tags)


def step_tags(event: Event, *, run: str, parent: str) -> dict[str, str]:
    """Tags of a step's child run, from `step_started`, or `step_finished` if it came alone.

    Args:
        event: The event.
        run: The pipeline run's id.
        parent: The parent's MLflow run id.
    """
    tags = {
        RUN_TAG: run,
        STEP_TAG: event["step"],
        STATE_TAG: State.RUNNING,
        "headrace.engine": event.get("engine"),
        "headrace.attempts": event.get("attempt"),
        FINGERPRINT_TAG: event.get("fingerprint"),
        "mlflow.user": user(),
        "mlflow.parentRunId": parent,
        "mlflow.source.name": event.get("name"),
        "mlflow.source.type": "PROJECT",
    }
    return _tags(tags)


def end_tags(event: Event) -> dict[str, str]:
    """What `step_finished` or `run_finished` adds: state, outputs, error, where it came from."""
    outputs = event.get("outputs") or {}
    error = event.get("error") or {}
    tags: dict[str, object] = {
        STATE_TAG: event["state"],
        "headrace.attempts": event.get("attempt"),
        "headrace.reused_from": event.get("reused_from"),
        "headrace.error": error.get("what"),
        "headrace.error_hint": error.get("hint"),
    }
    if not {"parameters", "artifacts"} & outputs.keys():  # a pipeline's outputs come unsorted
        outputs = {"parameters": outputs}
    for name, value in (outputs.get("parameters") or {}).items():
        tags[f"headrace.output.{name}"] = value
    for name, artifacts in (outputs.get("artifacts") or {}).items():
        places = [f"{one.get('uri')} {one.get('digest') or ''}".strip() for one in artifacts]
        tags[f"headrace.output.{name}"] = ", ".join(places)
    return _tags(tags)


def datasets(event: Event, side: str) -> list[DatasetUse]:
    """The datasets on one `side` ("inputs" or "outputs") of a step's event."""
    named = event.get(side) or {}
    if side == "outputs":
        named = named.get("artifacts") or {}
    return [
        _dataset_use(name, artifact, side.removesuffix("s"))
        for name, artifacts in named.items()
        for artifact in artifacts
        if artifact.get("type", "system.Artifact").partition("@")[0] in _DATASETS[side]
    ]


def output_artifacts(event: Event) -> Iterator[tuple[str, Event]]:
    """Each output artifact of a `step_finished`, with a name that is its own."""
    for name, artifacts in ((event.get("outputs") or {}).get("artifacts") or {}).items():
        for index, artifact in enumerate(artifacts):
            yield (name if len(artifacts) == 1 else f"{name}-{index}"), artifact


def _dataset_use(name: str, artifact: Event, context: str) -> DatasetUse:
    uri = str(artifact.get("uri") or "")
    full = str(artifact.get("digest") or "")
    short = full.rpartition(":")[2] or hashlib.sha256(uri.encode()).hexdigest()
    return DatasetUse(
        name=name,
        digest=short[:_DIGEST_LENGTH],
        uri=uri,
        full_digest=full,
        context=context,
        profile=json.dumps(artifact.get("metadata") or {}, default=str),
    )


def _tags(values: Mapping[str, object]) -> dict[str, str]:
    return {key(name): text(value) for name, value in values.items() if value is not None}


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """`items` in lists of at most `size`, which is what one of MLflow's batches takes."""
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _version() -> str | None:
    try:
        return importlib.metadata.version("headrace")
    except importlib.metadata.PackageNotFoundError:
        return None


def user() -> str:
    """Name of the user whose process this is."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in some containers
        return "unknown"
