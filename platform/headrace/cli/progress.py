"""A run's journal folded into one small value that every picture of a run is drawn from.

Pure: events in, `RunView` out. The live display folds one event at a time, `headrace runs`
folds a whole file; both draw the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headrace.core.states import State

Event = Mapping[str, Any]
"""A line of the journal; its `type` says which."""


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
    pipeline: str = ""
    """Its pipeline's name."""
    source: str = ""
    """The pipeline's place as its user gave it."""
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
    def label(self) -> str:
        """The state in one word, `killed` included."""
        return "killed" if self.killed else self.state.value

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


def fold(events: Iterable[Event], *, alive: bool = True) -> RunView:
    """The run that these events tell of.

    Args:
        events: A journal's lines in order.
        alive: Whether the runner's process is still there. Without it, and without an end
            in the journal, the run was killed.
    """
    view = RunView()
    for event in events:
        view = advance(view, event)
    return view if alive or view.state.done else _killed(view)


def advance(view: RunView, event: Event) -> RunView:
    """The run after one more event. Events of unknown types are let pass."""
    match event["type"]:
        case "run_started":
            return _run_started(event)
        case "step_started":
            return _with_step(view, _step_started(_known(view, event), event))
        case "step_metric":
            known = _known(view, event)
            live = {**known.live, **event["metrics"]}
            return _with_step(view, replace(known, live=live, index=event.get("index"), note=""))
        case "step_note":
            return _with_step(view, replace(_known(view, event), note=str(event["text"])))
        case "step_finished":
            return _with_step(view, _step_finished(_known(view, event), event))
        case "run_finished":
            return _run_finished(view, event)
        case _:
            return view


def _run_started(event: Event) -> RunView:
    plan = event.get("plan") or ()
    born = event.get("pid_start")
    return RunView(
        run=event["run"],
        pipeline=event["pipeline"],
        source=event.get("source") or "",
        state=State.RUNNING,
        started=event["time"],
        parameters=event.get("parameters") or {},
        code_digest=event.get("code_digest") or "",
        git=event.get("git"),
        total=int(event.get("steps_total") or len(plan)),
        pid=event.get("pid"),
        pid_start=None if born is None else str(born),
        steps=tuple(
            StepView(step=one["step"], name=one["name"], engine=one.get("engine") or "")
            for one in plan
        ),
    )


def _run_finished(view: RunView, event: Event) -> RunView:
    state = State(event["state"])
    # What is still planned when all went well was in a loop over nothing.
    steps = tuple(one for one in view.steps if one.state is not State.PENDING)
    return replace(
        view,
        state=state,
        steps=steps if state.good else view.steps,
        seconds=event.get("seconds"),
        error=Failure.read(event.get("error")),
        outputs=event.get("outputs") or {},
    )


def _known(view: RunView, event: Event) -> StepView:
    found = view.step(event["step"])
    return found or StepView(step=event["step"], name=event.get("name") or event["step"])


def _step_started(step: StepView, event: Event) -> StepView:
    log = event.get("log")
    return replace(
        step,
        name=event.get("name") or step.name,
        engine=event.get("engine") or step.engine,
        state=State.RUNNING,
        started=event["time"],
        seconds=None,
        attempt=int(event.get("attempt") or 1),
        parameters=event.get("parameters") or {},
        live={},
        index=None,
        note="",
        error=None,
        logs=(*step.logs, log) if log and log not in step.logs else step.logs,
    )


def _step_finished(step: StepView, event: Event) -> StepView:
    outputs = event.get("outputs") or {}
    return replace(
        step,
        name=event.get("name") or step.name,
        engine=event.get("engine") or step.engine,
        state=State(event["state"]),
        seconds=event.get("seconds"),
        attempt=int(event.get("attempt") or step.attempt),
        parameters=event.get("parameters") or step.parameters,
        outputs=outputs.get("parameters") or {},
        artifacts=outputs.get("artifacts") or {},
        metrics=event.get("metrics") or {},
        error=Failure.read(event.get("error")),
        reused_from=event.get("reused_from"),
        reason=event.get("reason") or "",
        note="",
    )


def _with_step(view: RunView, step: StepView) -> RunView:
    """With this step put in its place: steps in order of start, the planned ones behind them."""
    was = view.step(step.step)
    if was is not None and was.state is not State.PENDING:
        steps = tuple(step if one is was else one for one in view.steps)
        return replace(view, steps=steps)
    template = "/".join(part for part in step.step.split("/") if not part.isdigit())
    others = [
        one
        for one in view.steps
        # The first iteration of a loop takes the place of the planned step that stood for all.
        if one is not was and not (one.state is State.PENDING and one.step == template)
    ]
    begun = [one for one in others if one.state is not State.PENDING]
    waiting = [one for one in others if one.state is State.PENDING]
    if step.state is State.PENDING:
        return replace(view, steps=(*begun, *waiting, step))
    return replace(view, steps=(*begun, step, *waiting))


def _killed(view: RunView) -> RunView:
    """Whatever was at work when the runner died was stopped with it."""
    steps = tuple(
        replace(step, state=State.CANCELLED, reason="was at work when the run was killed")
        if step.state is State.RUNNING
        else step
        for step in view.steps
    )
    return replace(view, state=State.CANCELLED, killed=True, steps=steps)
