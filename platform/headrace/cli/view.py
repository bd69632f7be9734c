"""One run as people see it: the small value that every picture of a run is drawn from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.core.states import State


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a step or a run failed, as the journal tells it."""

    what: str
    """One sentence."""
    where: tuple[str, ...] = ()
    """Where the evidence lies."""
    hint: str = ""
    """What to do next."""
    kind: str = ""
    """The exception's class."""
    traceback: str = ""
    """The user's own frames."""
    exit_code: int = 1
    """What `headrace run` ends with because of it."""

    @classmethod
    def read(cls, error: Mapping[str, Any] | None) -> Failure | None:
        """From an event's `error`."""
        if not error:
            return None
        return cls(
            what=str(error.get("what") or "no reason was recorded"),
            where=tuple(map(str, error.get("where") or ())),
            hint=str(error.get("hint") or ""),
            kind=str(error.get("kind") or ""),
            traceback=str(error.get("traceback") or ""),
            exit_code=int(error.get("exit_code") or 1),
        )


@dataclass(frozen=True, kw_only=True)
class StepView:
    """One step as people see it."""

    step: str
    """Its id in the journal: a path such as `for-loop-2/0/train`."""
    name: str
    """Its name for people: `train[0]`."""
    engine: str = ""
    """`python`, `spark`, `ray`, ...; empty if it was skipped before anything was known."""
    state: State = State.PENDING
    """Where it stands."""
    started: float | None = None
    """Unix seconds of its latest attempt's start; None if it never started."""
    seconds: float | None = None
    """How long it took; None until it is done."""
    attempt: int = 1
    """Which try this is, from 1."""
    live: Mapping[str, float] = field(default_factory=dict)
    """The latest metrics it reported while at work."""
    index: int | None = None
    """The epoch or step those belong to."""
    note: str = ""
    """The latest short text it reported; gone once it reports metrics again."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The figures it ended with."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Its input parameters."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """Its output parameters."""
    artifacts: Mapping[str, Any] = field(default_factory=dict)
    """Its output artifacts by name, each a list as in the journal."""
    logs: tuple[str, ...] = ()
    """Log files relative to the run's folder, one per attempt."""
    error: Failure | None = None
    """Why it failed."""
    reused_from: str | None = None
    """The run whose result stands in."""
    reason: str = ""
    """Why it was skipped."""

    @property
    def group(self) -> str:
        """What the iterations of a loop have in common: `train[*]`; empty outside loops."""
        return re.sub(r"\[\d+\]", "[*]", self.name) if "[" in self.name else ""


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run as people see it."""

    run: str = ""
    """Its id."""
    called: str = ""
    """What people call it where its id is Kubeflow Pipelines' own; else empty."""
    pipeline: str = ""
    """Its pipeline's name."""
    named: bool = False
    """Whether people chose its name, which no other run may have."""
    source: str = ""
    """The pipeline's place as its user gave it."""
    site: Mapping[str, str] | None = None
    """`context` and `namespace` of the cluster that it runs on; None for this machine."""
    state: State = State.PENDING
    """Where it stands."""
    killed: bool = False
    """Whether it ended without a word: its process is gone and the journal has no end."""
    started: float = 0.0
    """Unix seconds."""
    seconds: float | None = None
    """How long it took; None while it runs or if it was killed."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What it was called with."""
    code_digest: str = ""
    """Digest of the pipeline's code."""
    git: Mapping[str, Any] | None = None
    """Commit, branch and whether there were changes; None outside git."""
    steps: tuple[StepView, ...] = ()
    """Those that started or were decided, in that order, then the planned ones."""
    total: int = 0
    """How many steps were known at the start; loops may add to it."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """What the pipeline returned."""
    error: Failure | None = None
    """Why it failed."""
    pid: int | None = None
    """The runner's process id."""
    pid_start: str | None = None
    """When that process started, in the kernel's units: tells it from a later one of that id."""

    @property
    def name(self) -> str:
        """What people call it, and every command takes."""
        return self.called or self.run

    @property
    def label(self) -> str:
        """The state in one word, `killed` included."""
        return "killed" if self.killed else self.state.value

    @property
    def where(self) -> str:
        """`CONTEXT/NAMESPACE` of its cluster; empty for this machine."""
        return f"{self.site['context']}/{self.site.get('namespace', '')}" if self.site else ""

    @property
    def finished(self) -> tuple[StepView, ...]:
        """The steps that are over."""
        return tuple(step for step in self.steps if step.state.done)

    @property
    def exit_code(self) -> int:
        """What `headrace run` ends with."""
        if self.state is State.CANCELLED:
            return 130
        if self.state is not State.FAILED:
            return 0
        return self.error.exit_code if self.error else 1

    def step(self, step: str) -> StepView | None:
        """The step with that id."""
        return next((one for one in self.steps if one.step == step), None)
