"""What keeps a server's pods from becoming ready, and for how long that is borne. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.cluster import diagnosis
from headrace.cluster.client import Manifest
from headrace.cluster.creations import refusal
from headrace.cluster.problems import Cause, Problem, Thing, condition, containers
from headrace.serving.server_pod import FETCH

_ENDS = (Cause.CRASH, Cause.MEMORY)
_PASSING = (Cause.EVICTED, Cause.PREEMPTED, Cause.NODE_LOST, Cause.DELETED)
_ROOM = (Cause.UNSCHEDULABLE, Cause.QUEUED)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is wrong with a pod, or with making one."""

    problem: Problem
    """What it is."""
    pod: str = ""
    """The pod; empty where none could be made."""
    container: str = ""
    """The container that ended, if one did."""
    deaths: int = 0
    """How often it has."""
    again: bool = False
    """Whether it waits to be started again: what it wrote last is of the life before."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a trouble may last until a roll-out is given up."""

    making: float = 90.0
    """Seconds for which a pod cannot be made: its image cannot be pulled, it is refused, …"""
    room: float = 900.0
    """Seconds for which no node has room for a pod."""
    deaths: int = 2
    """How often a container may end."""
    whole: float = 1500.0
    """Seconds that everything may take. A pod that was taken away is replaced meanwhile."""

    def of(self, trouble: Trouble) -> float:
        """Seconds for which a trouble is borne."""
        cause = trouble.problem.cause
        if cause in _ENDS:
            return 0.0 if trouble.deaths >= self.deaths else self.whole
        if cause in _PASSING:
            return self.whole
        return self.room if cause in _ROOM else self.making


def of_deployment(deployment: Thing) -> Trouble | None:
    """Why pods of a Deployment cannot even be made; None if they can."""
    failure = condition(deployment, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    cause, text, remedy = refusal(str(failure.get("message", "")))
    return Trouble(problem=Problem(cause=cause, text=f"a pod {text}", remedy=remedy))


def of_pod(pod: Manifest, events: Sequence[Manifest]) -> Trouble | None:
    """Why a pod is not ready; None if it only takes its time.

    Args:
        pod: The pod.
        events: Those about it.
    """
    name = pod["metadata"]["name"]
    status = next((one for one, _ in containers(pod) if _has_ended(one)), None)
    problem = diagnosis.of_pod(pod, events)
    if status is None:
        return Trouble(problem=problem, pod=name) if problem else None
    ended_now = "terminated" in status.get("state", {})
    return Trouble(
        problem=problem or _probed(status["name"]),
        pod=name,
        container=status["name"],
        deaths=int(status.get("restartCount", 0)) + ended_now,
        again=not ended_now,
    )


def _has_ended(status: Thing) -> bool:
    """Whether a container has ended, other than one that was meant to, and does not run again."""
    state, before = status.get("state", {}), status.get("lastState", {})
    if "terminated" in state:
        well = state["terminated"].get("exitCode") == 0
        return not (well and status["name"] == FETCH)
    return "waiting" in state and "terminated" in before


def _probed(container: str) -> Problem:
    """A server that is told to end does so with 0: nobody but its probes would tell it."""
    return Problem(
        cause=Cause.CRASH,
        text=f"its container {container!r} was ended, for its probes failed",
        remedy="its log says what takes it so long",
    )
