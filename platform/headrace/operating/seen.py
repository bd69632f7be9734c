"""What can be seen of a run on a cluster: its pods, its Ray clusters, warnings. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.cluster.client import Manifest
from headrace.operating.queued import Queued

OVER = ("Succeeded", "Failed")
"""Phases of a pod that has ended."""


@dataclass(frozen=True, kw_only=True)
class PodSeen:
    """One pod of a run."""

    name: str
    """Its name."""
    role: str
    """`step`, `spark-executor`, `ray-head`, `ray-worker`, `kfp-driver`; or what its label says."""
    number: str
    """Which of several alike it is, such as Spark's number of an executor; empty for others."""
    step: str
    """The path of its step."""
    attempt: int
    """Which attempt at the step it belongs to; 0 if it does not say."""
    phase: str
    """Kubernetes' phase, or `Terminating`."""
    node: str
    """The node that it is on; empty before it has one."""
    restarts: int
    """How often its containers were started again."""
    started: float | None
    """When it was accepted by its node, in Unix seconds."""
    cpu: str
    """Cores that it asks for, in Kubernetes' notation."""
    memory: str
    """Memory that it asks for."""
    cause: str
    """The kind of what is wrong with it, as `diagnosis.Cause`; empty if nothing is."""
    reason: str
    """What is wrong: why it waits, how it ended; to follow its name."""
    remedy: str
    """What to do about it."""

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.phase not in OVER


@dataclass(frozen=True, kw_only=True)
class RaySeen:
    """One Ray cluster of a run, or a RayJob that has none yet."""

    name: str
    """Its name."""
    step: str
    """The path of its step."""
    state: str
    """What KubeRay says of it."""
    ready: int
    """Workers that are ready."""
    wanted: int
    """Workers that there are to be."""
    reason: str
    """What is wrong, if KubeRay says so."""


@dataclass(frozen=True, kw_only=True)
class Warned:
    """A warning of Kubernetes about something of a run."""

    time: float
    """When it came last, in Unix seconds."""
    about: str
    """`KIND/NAME` of what it is about."""
    reason: str
    """Kubernetes' word for it."""
    text: str
    """The message."""
    count: int
    """How often it came."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Everything that a cluster shows of a run."""

    pods: tuple[PodSeen, ...] = ()
    """In the order of their steps and roles."""
    ray: tuple[RaySeen, ...] = ()
    """Its Ray clusters."""
    queued: tuple[Queued, ...] = ()
    """What of it stands in a queue."""
    warnings: tuple[Warned, ...] = ()
    """Newest last."""
    manifests: tuple[Manifest, ...] = ()
    """The pods as the cluster has them."""
    events: tuple[Manifest, ...] = ()
    """Every event about them, warnings or not."""

    @property
    def active(self) -> bool:
        """Whether anything of the run is at work or waits to be."""
        return bool(self.queued) or any(one.active for one in self.pods)
