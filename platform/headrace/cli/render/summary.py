"""The last word on a run: one screen that tells what was done, what came of it, where it lies."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from headrace.cli.outcomes import outcomes
from headrace.cli.render.facts import facts, facts_table
from headrace.cli.render.failure import failure_lines, next_line, stopped_at_gate
from headrace.cli.render.marks import mark, style
from headrace.cli.render.quantities import clock, count, duration
from headrace.cli.render.rows import rows
from headrace.cli.render.steps import steps_table
from headrace.cli.view import RunView
from headrace.core.states import State

_NARROWEST = 80


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a summary needs to know besides the run."""

    folder: Path
    """The run's folder, as it should be shown."""
    now: float
    """Unix seconds, for a run that is still at work."""
    home_words: str = ""
    """What to put behind a command so that it finds the run's home: ` --home DIR`, or nothing."""
    height: int | None = None
    """Lines of the screen that it has to fit; None where nothing limits it."""
    answering: Collection[str] = ()
    """The endpoints of the run that can be asked now."""
    calls: Sequence[str] = ()
    """Lines to paste that ask one of them for a prediction."""


def summary(view: RunView, around: Surroundings) -> RenderableType:
    """The whole summary; steps make room where the screen is small."""
    logs = around.folder / "logs"
    words = around.home_words
    below = facts(outcomes(view), logs=logs, answering=around.answering, home_words=words)
    trouble = failure_lines(view, folder=around.folder, home_words=words)
    if again := next_line(view):
        below.append(("again", Text(again)))
    parts: list[RenderableType] = [headline(view, now=around.now), Text()]
    call = _call(around.calls)
    taken = 4 + len(below) + (len(trouble) + 1 if trouble else 0)
    taken += sum(1 + len(line) // _NARROWEST for line in call)
    room = None if around.height is None else max(3, around.height - taken)
    lines = rows(view, now=around.now, room=room)
    if lines:
        parts += [steps_table(lines), Text()]
    if trouble:
        parts += [*trouble, Text()]
    return Group(*parts, facts_table(below), *call)


def _call(lines: Sequence[str]) -> list[Text]:
    """Lines to paste stay whole: where one is too long, the terminal wraps it, not we."""
    shown = [Text(line, no_wrap=True, overflow="ignore") for line in lines]
    return [Text(), *shown] if shown else []


def headline(view: RunView, *, now: float) -> Text:
    """`✔ flights succeeded in 1 min 12 s`, with the run's id behind it."""
    return Text.assemble(
        (f"{mark(view.state)} ", style(view.state)),
        (view.pipeline, "bold"),
        (f" {verdict(view, now=now)}", style(view.state)),
        (f"   run {view.name}", "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )


def verdict(view: RunView, *, now: float) -> str:
    """How it ended, or that it is still at work."""
    took = duration(view.seconds)
    if view.killed:
        return "lost its client" if view.site else "was killed"
    match view.state:
        case State.SUCCEEDED | State.REUSED:
            reused = sum(step.state is State.REUSED for step in view.steps)
            again = f", {count(reused, 'step')} reused" if reused else ""
            return f"succeeded in {took}{again}"
        case State.CANCELLED:
            return f"was cancelled after {took}"
        case State.FAILED if stopped_at_gate(view):
            return f"was stopped by its gate after {took}"
        case State.FAILED:
            return f"failed after {took}"
        case _:
            return f"is running, {clock(now - view.started)} so far"
