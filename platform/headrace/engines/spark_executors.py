"""What the pods of a session's executors say: why they wait, and how they ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headrace.cluster import diagnosis
from headrace.cluster.client import Manifest
from headrace.cluster.problems import Cause, Problem, Thing, containers

NUMBER = "spark-exec-id"
"""The label by which Spark numbers its executors."""
_SPARKS_OWN = {
    50: "died of an error that nothing caught",
    51: "died of an error that nothing caught",
    52: "ran out of heap",
    53: "could not make a folder on its disk",
    56: "could no longer reach the driver",
    57: "was ended because a task would not stop",
}
"""Exit codes that Spark gives a meaning."""
_HEAP, _TERMINATED = 52, 143
_CONTAINER = "its container 'executor' "
"""What diagnoses say; an executor is its container."""
_TAKEN = (Cause.EVICTED, Cause.PREEMPTED, Cause.NODE_LOST)


@dataclass(frozen=True, kw_only=True)
class End:
    """How an executor ended before its time."""

    pod: str
    """Its pod."""
    number: str
    """Spark's number of it."""
    how: str
    """What happened, to follow its name."""
    memory: bool = False
    """Whether it had too little memory."""
    own_doing: bool = False
    """Whether it failed by itself, and was not taken away."""

    def __str__(self) -> str:
        return f"executor {self.number} {self.how}"


def is_running(pod: Manifest) -> bool:
    """Whether the executor's container runs and is meant to go on."""
    return "running" in _state(pod) and "deletionTimestamp" not in pod["metadata"]


def is_over(pod: Manifest) -> bool:
    """Whether its container has ended."""
    final = pod.get("status", {}).get("phase") in ("Failed", "Succeeded")
    return final or "terminated" in _state(pod)


def end_of(pod: Manifest, *, deleted: bool) -> End | None:
    """How an executor ended before its time; None if it lives, or was let go by Spark.

    Args:
        pod: The pod as it was seen last.
        deleted: Whether it is there no longer.
    """
    code = _state(pod).get("terminated", {}).get("exitCode")
    leaving = deleted or "deletionTimestamp" in pod["metadata"]
    if code in _SPARKS_OWN:
        return _end(pod, _SPARKS_OWN[code], memory=code == _HEAP, own_doing=True)
    problem = diagnosis.of_pod(pod) if is_over(pod) or leaving else None
    taken = problem is not None and problem.cause in _TAKEN
    memory = problem is not None and problem.cause is Cause.MEMORY
    if problem is not None and (taken or memory or not leaving) and code != _TERMINATED:
        how = problem.text.replace(_CONTAINER, "")
        return _end(pod, how, memory=memory, own_doing=not taken)
    if code == _TERMINATED or (leaving and code != 0):
        return _end(pod, "was deleted")
    return None


def trouble(pods: Iterable[Manifest]) -> tuple[Manifest, Problem] | None:
    """The first executor that does not run yet and has a trouble, and what that is."""
    found = ((one, diagnosis.of_pod(one)) for one in pods if _waits(one))
    return next(((one, problem) for one, problem in found if problem), None)


def why_waiting(pods: Sequence[Manifest], known: Problem | None = None) -> str:
    """Why executors that do not run yet wait.

    Args:
        pods: The executors.
        known: What others than the pods say of the first that has a trouble.
    """
    if found := trouble(pods):
        return f"each {(known or found[1]).text}"
    return "their containers are being made" if any(map(_waits, pods)) else ""


def _waits(pod: Manifest) -> bool:
    return not is_over(pod) and not is_running(pod)


def memory_limit(pod: Manifest) -> str:
    """What an executor's pod may use, in Kubernetes' notation."""
    spec = pod.get("spec", {}).get("containers", [{}])[0]
    return str(spec.get("resources", {}).get("limits", {}).get("memory", ""))


def lean(pod: Manifest) -> Manifest:
    """What is worth keeping of a pod: nothing of its environment."""
    spec = pod.get("spec", {})
    return {
        "metadata": {
            key: pod["metadata"][key]
            for key in ("name", "labels", "annotations", "creationTimestamp", "deletionTimestamp")
            if key in pod["metadata"]
        },
        "spec": {
            "nodeName": spec.get("nodeName", ""),
            "containers": [
                {key: one.get(key) for key in ("name", "image", "resources")}
                for one in spec.get("containers", [])
            ],
        },
        "status": pod.get("status", {}),
    }


def _end(pod: Manifest, how: str, *, memory: bool = False, own_doing: bool = False) -> End:
    meta = pod["metadata"]
    number = str(meta.get("labels", {}).get(NUMBER, "?"))
    return End(pod=meta["name"], number=number, how=how, memory=memory, own_doing=own_doing)


def _state(pod: Manifest) -> Thing:
    told = [status for status, _ in containers(pod)]
    state: Thing = told[-1].get("state", {}) if told else {}
    return state
