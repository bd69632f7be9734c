"""Watches the pods of one training: who starts, who dies, and why."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headrace.cluster import diagnosis, ends, labels
from headrace.cluster.client import Cluster, Manifest
from headrace.engines.ray_kubernetes import TRAINING

_ROLE = "ray.io/node-type"
_PATIENCE = 10.0
"""Seconds that a pod may have trouble starting before it is spoken of."""
_LOOK = 5.0
"""Seconds between two questions why a pod has not started."""


@dataclass
class Watched:
    """One pod, as it was last seen."""

    manifest: Manifest
    """The pod."""
    restarts: int = 0
    """How often its container had been restarted before it was watched."""
    gone: bool = False
    """Whether the cluster has it no more."""
    death: str = ""
    """What became of it, as the end of a sentence that begins with it; empty while it lives."""
    remedy: str = ""
    """What would help against that."""

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.manifest["metadata"]["name"])

    @property
    def address(self) -> str:
        """Its IP, once it has one."""
        return str(self.manifest.get("status", {}).get("podIP") or "")

    @property
    def is_head(self) -> bool:
        """Whether it is the head."""
        return bool(self.manifest["metadata"].get("labels", {}).get(_ROLE) == "head")

    @property
    def started(self) -> bool:
        """Whether its containers were started."""
        return bool(self.manifest.get("status", {}).get("phase") == "Running")

    def judge(self) -> None:
        """See whether it has died since it was watched."""
        pod = self.manifest
        again = _restarts(pod) > self.restarts
        problem = ends.why_ended(_as_it_ended(pod) if again else pod)
        if problem:
            self.death, self.remedy = problem.text, problem.remedy
        elif self.gone or "deletionTimestamp" in pod["metadata"]:
            self.death = self.death or "was deleted"
        elif again:
            self.death = "ended and was started again"

    def facts(self) -> dict[str, Any]:
        """What is kept of it as evidence."""
        meta = self.manifest["metadata"]
        return {
            "name": meta["name"],
            "labels": meta.get("labels", {}),
            "created": meta.get("creationTimestamp", ""),
            "node": self.manifest.get("spec", {}).get("nodeName", ""),
            "gone": self.gone,
            "death": self.death,
            "status": self.manifest.get("status", {}),
        }


class Pods:
    """The pods that a selector chooses.

    Args:
        cluster: Where they are.
        selector: Over their labels.
        on_note: Told what keeps them from starting.
        stays: Whether they were there before the training, so that earlier deaths do not count.
    """

    def __init__(
        self, cluster: Cluster, selector: str, on_note: Callable[[str], None], *, stays: bool
    ) -> None:
        self.cluster = cluster
        self.seen: dict[str, Watched] = {}
        self._selector = selector
        self._on_note = on_note
        self._stays = stays
        self.at_stake = not stays
        """Whether the training is on them: before that, whoever goes may be replaced."""
        self._began = self._looked = time.monotonic()
        self._spoken: set[str] = set()
        self._trouble = ""

    def look(self) -> None:
        """Take in how the pods are now."""
        now = {one["metadata"]["uid"]: one for one in self.cluster.list("pods", self._selector)}
        for uid, pod in now.items():
            if uid not in self.seen:
                self.seen[uid] = Watched(pod, restarts=_restarts(pod) if self._stays else 0)
            self.seen[uid].manifest = pod
        for uid, one in self.seen.items():
            one.gone = uid not in now
            one.judge()
        if not self.at_stake:
            self.seen = {uid: one for uid, one in self.seen.items() if not one.death}

    @property
    def head(self) -> Watched | None:
        """The head that the training began with; another in its place knows nothing of it."""
        return next((one for one in self.seen.values() if one.is_head), None)

    @property
    def workers(self) -> list[Watched]:
        """All workers there were."""
        return [one for one in self.seen.values() if not one.is_head]

    def started_workers(self) -> int:
        """How many workers' pods run now."""
        return sum(one.started and not one.gone for one in self.workers)

    def named(self, name: str) -> Watched | None:
        """A pod by its name."""
        return next((one for one in self.seen.values() if one.name == name), None)

    def trouble(self, seconds: float) -> str:
        """What a pod still waits for after `seconds`; before that it is only spoken of."""
        now = time.monotonic()
        if now - self._began < _PATIENCE or now - self._looked < _LOOK:
            return ""
        self._looked = now
        for one in self.seen.values():
            if one.gone or one.started:
                continue
            told = diagnosis.of_waiting(self.cluster, one.manifest)
            if told is None:
                continue
            who = "Ray's head" if one.is_head else "a Ray worker"
            said = f"{who} {told.text}"
            if now - self._began > seconds:
                return said
            if said not in self._spoken:
                self._spoken.add(said)
                self._on_note(f"waiting: {said}")
        return ""

    def wait_again(self) -> None:
        """Begin the time anew that pods have for starting: one has been lost."""
        self._began = time.monotonic()

    def all_well(self) -> None:
        """What happened to workers' pods until now does not matter any more: all are at work."""
        for one in self.workers:
            one.restarts, one.death, one.remedy = _restarts(one.manifest), "", ""


def selector(training: str) -> str:
    """The selector of a training's pods."""
    return labels.selector({TRAINING: training})


def _restarts(pod: Manifest) -> int:
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return max((int(one.get("restartCount") or 0) for one in statuses), default=0)


def _as_it_ended(pod: Manifest) -> Manifest:
    """A pod whose container was started again, as it was when the container had ended."""
    then = copy.deepcopy(pod)
    for one in then["status"].get("containerStatuses") or ():
        one["state"] = one.pop("lastState", None) or one["state"]
    return then
