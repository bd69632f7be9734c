"""What the pods of a session's executors say: why they wait, and how they ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from headrace.cluster.client import Manifest

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
_KILLED, _TERMINATED, _HEAP = 137, 143, 52


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
    own_doing: bool = True
    """Whether it failed by itself, and was not taken away."""

    def __str__(self) -> str:
        return f"executor {self.number} {self.how}"


def is_running(pod: Manifest) -> bool:
    """Whether the executor's container runs and is meant to go on."""
    return "running" in _state(pod) and "deletionTimestamp" not in pod["metadata"]


def is_over(pod: Manifest) -> bool:
    """Whether its container has ended."""
    return "terminated" in _state(pod) or pod.get("status", {}).get("phase") in (
        "Failed",
        "Succeeded",
    )


def end_of(pod: Manifest, *, deleted: bool) -> End | None:
    """How an executor ended before its time; None if it lives, or was let go by Spark.

    Args:
        pod: The pod as it was seen last.
        deleted: Whether it is there no longer.
    """
    status = pod.get("status", {})
    ended = _state(pod).get("terminated", {})
    code = ended.get("exitCode")
    leaving = deleted or "deletionTimestamp" in pod["metadata"]
    if status.get("reason") == "Evicted":
        return _taken(pod, f"was evicted: {status.get('message', '')}")
    if ended.get("reason") == "OOMKilled" or (code == _KILLED and not leaving):
        limit = memory_limit(pod)
        return _end(pod, f"ran out of memory: its pod may use {limit}", memory=True)
    if disruption := _condition(pod, "DisruptionTarget"):
        return _taken(pod, f"had to leave its node: {disruption.get('message', '')}")
    if code == 0 or (code is None and not leaving):
        return None
    if leaving or code == _TERMINATED:
        return _taken(pod, "was deleted")
    how = _SPARKS_OWN.get(int(code or 0), f"ended with exit code {code}")
    return _end(pod, how, memory=code == _HEAP)


def why_waiting(pods: Iterable[Manifest]) -> str:
    """Why executors that do not run yet wait; the most telling reason of all of them."""
    reasons = [_why_waiting(one) for one in pods if not is_over(one) and not is_running(one)]
    return min(reasons, default=(9, ""))[1]


def memory_limit(pod: Manifest) -> str:
    """What an executor's pod may use, in Kubernetes' notation."""
    containers = pod.get("spec", {}).get("containers", [{}])
    return str(containers[0].get("resources", {}).get("limits", {}).get("memory", "no more"))


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


def _why_waiting(pod: Manifest) -> tuple[int, str]:
    """How telling a reason is, from 0, and the reason."""
    waiting = _state(pod).get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if "Image" in reason:
        image = pod["spec"]["containers"][0]["image"]
        said = message.rpartition("desc = ")[2].rpartition(f"{image}: ")[2].strip('"')
        return 0, f"the image {image} cannot be pulled ({said or reason})"
    if reason and reason not in ("ContainerCreating", "PodInitializing"):
        return 1, f"{reason}: {message}".rstrip(": ")
    scheduled = _condition(pod, "PodScheduled", "False")
    if scheduled:
        message, _, _ = scheduled.get("message", "").partition(". ")
        return 2, message or scheduled.get("reason", "")
    return 3, "their containers are being made"


def _end(pod: Manifest, how: str, *, memory: bool = False) -> End:
    meta = pod["metadata"]
    number = meta.get("labels", {}).get(NUMBER, "?")
    return End(pod=meta["name"], number=number, how=how, memory=memory)


def _taken(pod: Manifest, how: str) -> End:
    return replace(_end(pod, how.rstrip(": ")), own_doing=False)


def _state(pod: Manifest) -> dict[str, Any]:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    state: dict[str, Any] = statuses[0].get("state", {}) if statuses else {}
    return state


def _condition(pod: Manifest, kind: str, status: str = "True") -> dict[str, Any]:
    found = pod.get("status", {}).get("conditions", [])
    return next((one for one in found if one["type"] == kind and one["status"] == status), {})
