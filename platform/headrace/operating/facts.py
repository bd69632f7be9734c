"""What is known of a run that failed or waits, and what is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.cluster.client import Manifest
from headrace.core.states import State
from headrace.operating.queued import Queued


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One piece of evidence."""

    text: str
    """What it says; lines of code or log keep their breaks."""
    where: str = ""
    """Where it lies: a file, a URI, a pod."""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Something that made a step fail, or keeps it waiting."""

    kind: str
    """The name of a `Kind`."""
    step: str
    """The step's name; empty for the run as a whole."""
    text: str
    """What happened, in a sentence or two."""
    remedy: str
    """What to do."""
    rank: int
    """Causes with less come first."""
    proofs: tuple[Proof, ...] = ()
    """What it is known from."""


@dataclass(frozen=True, kw_only=True)
class StepFacts:
    """What is known of a step that failed or is not done."""

    step: str
    """Its path."""
    name: str
    """Its name for people."""
    engine: str = ""
    """The kind of its engine."""
    state: State = State.FAILED
    """Where it stands."""
    attempt: int = 1
    """Which attempt it is."""
    error: Mapping[str, Any] | None = None
    """Why it failed by its own account: `what`, `where`, `hint`, `kind`, `traceback`."""
    notes: tuple[str, ...] = ()
    """What it said while it ran, oldest first."""
    pods: tuple[Manifest, ...] = ()
    """Its pods, as they were seen last."""
    events: tuple[Manifest, ...] = ()
    """Kubernetes' events about them."""
    queued: tuple[Queued, ...] = ()
    """What of it stands in a queue, as a whole or pod by pod."""
    executors: Mapping[str, Any] = field(default_factory=dict)
    """Of a Spark step: `executors` (pods, each with the `tail` of its log) and their `ends`."""
    ray: tuple[Mapping[str, Any], ...] = ()
    """Of a Ray step: each pod's `name`, `labels`, `death` and `status`."""
    ray_job: Mapping[str, Any] = field(default_factory=dict)
    """The status of its RayJob."""
    log: tuple[str, ...] = ()
    """The last lines of its log."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Where the evidence lies: `log`, `pods`, `executors`, `executor_logs`, `ray`."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a run."""

    run: str
    """Its id."""
    state: State
    """Where it stands."""
    killed: bool = False
    """Whether its client went without a word."""
    site: str = ""
    """Its site; empty for this machine."""
    active: bool = False
    """Whether anything of it is seen at work on the site."""
    error: Mapping[str, Any] | None = None
    """The run's own error."""
    steps: tuple[StepFacts, ...] = ()
    """Steps that failed, or are under way."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why."""

    verdict: str
    """`failed`, `gate`, `waiting`, `running`, `cancelled`, `killed` or `fine`."""
    text: str
    """The answer in a sentence."""
    causes: tuple[Cause, ...] = ()
    """The likeliest first."""
