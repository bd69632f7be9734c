"""What of a run stands in a queue: Jobs and RayJobs that have no pods yet, and pods. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from headrace.cluster.client import Manifest
from headrace.cluster.problems import Problem

POD = "Pod"


@dataclass(frozen=True, kw_only=True)
class Queued:
    """Something that its queue has not admitted."""

    kind: str
    """`Job`, `RayJob` or `Pod`."""
    name: str
    """Its name."""
    step: str
    """The path of its step."""
    cause: str
    """The kind of what it waits for, as `diagnosis.Cause`."""
    reason: str
    """What it waits for, to follow its name."""
    remedy: str
    """What to do about it."""


def of(
    things: Iterable[tuple[str, str, Manifest]], waiting: Mapping[str, Problem]
) -> Iterator[Queued]:
    """Those of some things that wait.

    Args:
        things: Each with its kind and the path of its step.
        waiting: What waits for its queue, by unique id.
    """
    for kind, step, one in things:
        meta = one["metadata"]
        if problem := waiting.get(str(meta.get("uid"))):
            yield Queued(
                kind=kind, name=meta["name"], step=step, cause=str(problem.cause),
                reason=problem.text, remedy=problem.remedy,
            )  # fmt: skip
