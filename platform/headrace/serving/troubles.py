"""What keeps a server's pods from becoming ready, as the cluster tells it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from headrace.serving.manifests import FETCH

Manifest = Mapping[str, Any]

_IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_SETTING_REASONS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_LONGEST = 300


class Kind(StrEnum):
    """How a trouble is to be taken."""

    ROOM = "room"
    """No node has room yet: one may come."""
    IMAGE = "image"
    """An image cannot be pulled, or a container not be made: a registry may be away for a while."""
    DEATH = "death"
    """A container ended: it is started again."""
    REFUSED = "refused"
    """The cluster takes no such pod: a quota or a policy."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is wrong with a pod, or with making one."""

    kind: Kind
    """How to take it."""
    what: str
    """One sentence, without the full stop."""
    hint: str = ""
    """What would help."""
    pod: str = ""
    """The pod; empty where none could be made."""
    container: str = ""
    """Its container; empty where none runs."""
    deaths: int = 0
    """How often the container has ended."""
    running: bool = False
    """Whether it runs again: its last words are those of its previous life."""


def of_deployment(deployment: Manifest) -> Iterator[Trouble]:
    """Why pods of a Deployment cannot even be made."""
    for one in deployment.get("status", {}).get("conditions", []):
        if one["type"] == "ReplicaFailure" and one["status"] == "True":
            told = _short(one.get("message", ""))
            yield Trouble(
                kind=Kind.REFUSED,
                what=f"the cluster makes no pod: {told}",
                hint="have the quota or policy changed, or ask for less cpu and memory",
            )


def of_pod(pod: Manifest) -> Iterator[Trouble]:
    """Why a pod is not ready, if it says."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for one in status.get("conditions", []):
        if one["type"] == "PodScheduled" and one.get("reason") == "Unschedulable":
            yield Trouble(
                kind=Kind.ROOM,
                what=f"no node has room for a pod: {_short(_reason(one.get('message', '')))}",
                hint="ask for less cpu or memory, or wait until other work has ended",
                pod=name,
            )
    if status.get("phase") == "Failed" and status.get("reason"):
        told = _short(status.get("message", ""))
        yield Trouble(
            kind=Kind.DEATH, what=f"a pod ended ({status['reason']}): {told}", pod=name, deaths=1
        )
    for one in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        found = _of_container(name, one, _memory(pod, one["name"]))
        if found:
            yield found


def is_ready(pod: Manifest) -> bool:
    """Whether a pod answers."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _of_container(pod: str, status: Manifest, memory: str) -> Trouble | None:
    waiting = status.get("state", {}).get("waiting", {})
    reason = waiting.get("reason", "")
    told = _short(waiting.get("message", reason))
    if reason in _IMAGE_REASONS:
        return Trouble(
            kind=Kind.IMAGE,
            what=f"the image {status.get('image', '')} cannot be pulled: {told}",
            hint="see that the registry has it and that the site's pull_secrets open it",
            pod=pod,
        )
    if reason in _SETTING_REASONS:
        return Trouble(kind=Kind.IMAGE, what=f"a container cannot be made: {told}", pod=pod)
    return _death(pod, status, memory)


def _death(pod: str, status: Manifest, memory: str) -> Trouble | None:
    now, before = status.get("state", {}), status.get("lastState", {}).get("terminated")
    ended = now.get("terminated")
    if status["name"] == FETCH and ended and ended["exitCode"] == 0:
        return None
    last = ended or before
    if last is None:
        return None
    deaths = status.get("restartCount", 0) + (1 if ended else 0)
    if last.get("reason") == "OOMKilled":
        what = f"the container {status['name']} ran out of memory"
        hint = f"ask for more than {memory} of memory" if memory else "ask for more memory"
    elif last.get("exitCode") == 0:
        what = f"the container {status['name']} was ended, for its probes failed"
        hint = "its log says what takes it so long"
    else:
        what = f"the container {status['name']} ended with exit code {last.get('exitCode')}"
        hint = ""
    return Trouble(
        kind=Kind.DEATH,
        what=what,
        hint=hint,
        pod=pod,
        container=status["name"],
        deaths=deaths,
        running=not ended,
    )


def _memory(pod: Manifest, container: str) -> str:
    spec = pod.get("spec", {})
    for one in [*spec.get("initContainers", []), *spec.get("containers", [])]:
        if one["name"] == container:
            return str(one.get("resources", {}).get("limits", {}).get("memory", ""))
    return ""


def _reason(text: str) -> str:
    """The scheduler's reason, without its tries to make room."""
    for rest in (" no new claims", " preemption:"):
        text = text.partition(rest)[0]
    return text


def _short(text: str) -> str:
    """A message that fits a line."""
    flat = " ".join(text.split()).removesuffix(".")
    return flat if len(flat) <= _LONGEST else f"{flat[:_LONGEST]}…"
