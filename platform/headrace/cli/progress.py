"""A run's journal folded into one view, which every picture of the run is drawn from.

Pure: events in, `RunView` out. The live display folds one event at a time, `headrace runs`
folds a whole file; both draw the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from headrace.cli.view import Failure, RunView, StepView
from headrace.core.states import State

Event = Mapping[str, Any]
"""A line of the journal; its `type` says which."""


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
            return _run_started(event, view)
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


def _run_started(event: Event, before: RunView) -> RunView:
    plan = event.get("plan") or ()
    born = event.get("pid_start")
    # One that another client picks up keeps what it was: only news are told again.
    begun = [one for one in before.steps if one.state is not State.PENDING]
    begun = begun if before.run == event["run"] else []
    known = {one.step for one in begun}
    return RunView(
        run=event["run"],
        called=event.get("called") or "",
        pipeline=event["pipeline"],
        named=bool(event.get("named")),
        source=event.get("source") or "",
        site=event.get("site"),
        state=State.RUNNING,
        started=before.started if before.run == event["run"] else event["time"],
        parameters=event.get("parameters") or {},
        code_digest=event.get("code_digest") or "",
        git=event.get("git"),
        total=int(event.get("steps_total") or len(plan)),
        pid=event.get("pid"),
        pid_start=None if born is None else str(born),
        steps=(
            *begun,
            *(
                StepView(step=one["step"], name=one["name"], engine=one.get("engine") or "")
                for one in plan
                if one["step"] not in known
            ),
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
