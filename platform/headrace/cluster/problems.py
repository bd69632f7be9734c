"""What can be wrong with a pod: one word for the cause, one sentence, one remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

Thing = Mapping[str, Any]
"""A pod, a Job, an event, or a part of one, as its JSON reads."""


class Cause(StrEnum):
    """Why a pod does not run, or does no longer."""

    UNSCHEDULABLE = "unschedulable"
    """No node takes it."""
    QUEUED = "queued"
    """A queue has not admitted it."""
    QUOTA = "quota"
    """The namespace's quota has no room."""
    REFUSED = "refused"
    """A rule of the namespace forbids such a pod."""
    IMAGE = "image"
    """An image cannot be pulled."""
    CONFIG = "config"
    """Something that its description names is not there, or the description is wrong."""
    NODE = "node"
    """Its node cannot start it."""
    MEMORY = "memory"
    """A container used more memory than it may."""
    EVICTED = "evicted"
    """Its node needed the room, or the node was drained."""
    PREEMPTED = "preempted"
    """It had to make room for a pod of higher priority."""
    NODE_LOST = "node lost"
    """Its node is gone or does not answer."""
    DELETED = "deleted"
    """Somebody had it deleted while it ran."""
    DEADLINE = "deadline"
    """It took longer than it may."""
    CRASH = "crash"
    """A container ended with a code that means failure."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong."""

    cause: Cause
    """The kind of it."""
    text: str
    """What is wrong: what follows a colon, without a capital or a full stop."""
    remedy: str
    """What would help."""
    since: float | None = None
    """Since when, in Unix seconds, if the cluster says so."""


def moment(stamp: str | None) -> float | None:
    """Unix seconds of a time in a manifest."""
    return datetime.fromisoformat(stamp).timestamp() if stamp else None


def when(event: Thing) -> float:
    """When an event happened last, in Unix seconds."""
    series = event.get("series") or {}
    found = (
        series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
        or event.get("firstTimestamp") or event.get("metadata", {}).get("creationTimestamp")
    )  # fmt: skip
    return moment(found) or 0.0


def began(event: Thing) -> float | None:
    """When an event happened first."""
    return moment(event.get("firstTimestamp") or event.get("eventTime"))


def newest(events: Iterable[Thing], *reasons: str, saying: str = "") -> Thing | None:
    """The latest event with one of the reasons whose message has a text in it."""
    found = [
        one
        for one in events
        if one.get("reason") in reasons and saying in str(one.get("message", ""))
    ]
    return max(found, key=when, default=None)


def condition(thing: Thing, kind: str) -> Thing:
    """A condition of an object's status; nothing if it has none of the kind."""
    for one in thing.get("status", {}).get("conditions") or []:
        if one["type"] == kind:
            found: Thing = one
            return found
    return {}


def containers(pod: Thing) -> list[tuple[Thing, Thing]]:
    """Each container's status with its description, those that come first in front."""
    spec, status = pod.get("spec", {}), pod.get("status", {})
    known = {
        one["name"]: one for one in [*spec.get("initContainers", []), *spec.get("containers", [])]
    }
    told = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return [(one, known.get(one["name"], {})) for one in told]


def short(text: str, most: int = 240) -> str:
    """A foreign message on one line, cut where it gets long."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= most else f"{line[: most - 1]}…"


def listed(parts: Sequence[str]) -> str:
    """Words as a list in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
