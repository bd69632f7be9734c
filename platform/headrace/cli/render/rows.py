"""Which lines stand for a run's steps, and what they say; never more than there is room for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from headrace.cli.outcomes import decision, endpoint, step_versions
from headrace.cli.render.quantities import clock, count, duration, figure_list
from headrace.cli.view import RunView, StepView
from headrace.core.errors import GateFailed
from headrace.core.states import State


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a run's picture."""

    state: State
    """Gives the mark and the colour."""
    name: str
    """The step, a loop's steps together (`train[*]`), or `… 5 more` that are left out."""
    engine: str = ""
    """The step's engine."""
    time: str = ""
    """How long it took, or has been at work."""
    text: str = ""
    """What there is to say of it."""
    steps: int = 1
    """How many steps it stands for."""


def rows(view: RunView, *, now: float, room: int | None = None) -> list[Row]:
    """The lines for a run's steps.

    Where there is not room for all, the steps of loops are drawn together, the largest
    loop first; then what is yet to come, then the earliest that are done, become one line.
    """
    steps = _loops_in_order(view.steps)
    lines = [step_row(step, now=now) for step in steps]
    if room is None or len(lines) <= room:
        return lines
    collapsed: set[str] = set()
    for group, members in Counter(step.group for step in steps if step.group).most_common():
        if members == 1 or len(lines) <= room:
            break
        collapsed.add(group)
        lines = _grouped(steps, collapsed, now)
    return _cut(lines, max(room, 3))


def _loops_in_order(steps: Sequence[StepView]) -> list[StepView]:
    """Steps in order of start, but a loop's together and by their numbers."""
    first: dict[str, int] = {}
    for place, step in enumerate(steps):
        first.setdefault(step.group or step.step, place)
    return sorted(steps, key=lambda step: (first[step.group or step.step], _numbers(step)))


def _numbers(step: StepView) -> list[int]:
    return [int(number) for number in re.findall(r"\[(\d+)\]", step.name)]


def _grouped(steps: Sequence[StepView], collapsed: set[str], now: float) -> list[Row]:
    lines: list[Row] = []
    drawn: set[str] = set()
    for step in steps:
        if step.group not in collapsed:
            lines.append(step_row(step, now=now))
        elif step.group not in drawn:
            drawn.add(step.group)
            lines.append(group_row([one for one in steps if one.group == step.group], now=now))
    return lines


def _cut(lines: list[Row], room: int) -> list[Row]:
    """At most `room` lines, with what is at work and what failed kept as long as possible."""
    if len(lines) <= room:
        return lines
    waiting = [line for line in lines if line.state is State.PENDING]
    lines = [line for line in lines if line.state is not State.PENDING]
    tail: list[Row] = []
    if waiting:
        keep = max(0, room - len(lines) - 1)
        tail = [*waiting[:keep], Row(state=State.PENDING, name=f"… {_steps(waiting[keep:])} more")]
    over = len(lines) + len(tail) - room
    if over <= 0:
        return [*lines, *tail]
    quiet = [line for line in lines if line.state.done and line.state is not State.FAILED]
    dropped = quiet[: over + 1]
    kept = [line for line in lines if line not in dropped]
    head = [Row(state=State.SUCCEEDED, name=f"… {_steps(dropped)} more")] if dropped else []
    space = room - len(head) - len(tail)
    if len(kept) > space:
        more = Row(state=State.RUNNING, name=f"… {_steps(kept[space - 1 :])} more")
        kept = [*kept[: space - 1], more]
    return [*head, *kept, *tail]


def _steps(lines: Sequence[Row]) -> int:
    return sum(line.steps for line in lines)


def step_row(step: StepView, *, now: float) -> Row:
    """The line of one step."""
    running = step.state is State.RUNNING and step.started is not None
    time = clock(now - (step.started or now)) if running else duration(step.seconds)
    quiet = step.state in (State.PENDING, State.SKIPPED, State.REUSED)
    return Row(
        state=step.state,
        name=step.name,
        engine=step.engine,
        time="" if quiet else time,
        text=step_text(step),
    )


def step_text(step: StepView) -> str:
    """What there is to say of a step, in a few words."""
    again = [f"attempt {step.attempt}"] if step.attempt > 1 else []
    match step.state:
        case State.RUNNING:
            return " · ".join([*again, *filter(None, [step.note, live_text(step)])])
        case State.SUCCEEDED:
            return " · ".join([*again, *filter(None, [result_text(step)])])
        case State.REUSED:
            origin = f"from {step.reused_from}" if step.reused_from else ""
            return f"reused {origin}".strip()
        case State.SKIPPED:
            return step.reason or "skipped"
        case State.FAILED:
            return " · ".join([*again, failure_text(step)])
        case State.CANCELLED:
            return step.reason or "cancelled"
        case State.PENDING:
            return ""


def failure_text(step: StepView) -> str:
    """The first line of what went wrong."""
    if step.error is None:
        return "failed"
    if step.error.exit_code == GateFailed.exit_code:
        return "gate not passed"
    return step.error.what.partition("\n")[0]


def live_text(step: StepView) -> str:
    """`epoch 3 · auc 0.712`: the index comes first, unless the metrics hold the epoch."""
    values = dict(step.live)
    if "epoch" in values:
        values = {"epoch": values.pop("epoch"), **values}
        return figure_list(values, most=4)
    index = f"#{step.index} · " if step.index is not None and values else ""
    return index + figure_list(values, most=3)


def result_text(step: StepView) -> str:
    """A finished step's result: a version, a decision, an endpoint, or its first figures."""
    if made := decision(step):
        return f"{made.alias} is {made.model}" if made.promoted else f"{made.alias} stays"
    if opened := endpoint(step):
        return opened.url
    versions = [f"{one.name}/{one.version}" for one in step_versions(step)]
    if versions:
        return ", ".join(versions)
    own = {key: value for key, value in step.metrics.items() if "." not in key}
    return figure_list(own, most=2)


def group_row(steps: Sequence[StepView], *, now: float) -> Row:
    """The line of a loop's steps together."""
    states = Counter(step.state for step in steps)
    starts = [step.started for step in steps if step.started is not None]
    ends = [step.started + (step.seconds or 0) for step in steps if step.started is not None]
    running = bool(states[State.RUNNING])
    time = ""
    if starts:
        time = clock(now - min(starts)) if running else duration(max(ends) - min(starts))
    good = states[State.SUCCEEDED] + states[State.REUSED]
    parts = [f"{good} of {len(steps)} done"]
    words = {State.RUNNING: "running", State.FAILED: "failed", State.SKIPPED: "skipped"}
    parts += [f"{states[state]} {word}" for state, word in words.items() if states[state]]
    if states[State.REUSED]:
        parts.append(count(states[State.REUSED], "reused", "reused"))
    return Row(
        state=group_state(states),
        name=steps[0].group,
        engine=steps[0].engine,
        time=time,
        text=" · ".join(parts),
        steps=len(steps),
    )


def group_state(states: Counter[State]) -> State:
    """The state that stands for many: trouble first, then work, then success."""
    order = (
        State.FAILED,
        State.CANCELLED,
        State.RUNNING,
        State.PENDING,
        State.SUCCEEDED,
        State.REUSED,
        State.SKIPPED,
    )
    return next(state for state in order if states[state])
