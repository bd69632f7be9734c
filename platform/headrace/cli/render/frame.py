"""One picture of a run at work: what the live display draws several times a second."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from headrace.cli.render.marks import mark
from headrace.cli.render.quantities import clock
from headrace.cli.render.rows import rows
from headrace.cli.render.steps import steps_table
from headrace.cli.view import RunView
from headrace.core.states import State

_BEATS_PER_SECOND = 8
_LINES_AROUND = 5
"""Heading, footer, the blank lines beside them, and the line that the cursor stands on."""


def frame(view: RunView, *, now: float, height: int, home_words: str = "") -> RenderableType:
    """The run as it stands, never taller than the terminal."""
    beat = int(now * _BEATS_PER_SECOND)
    if not view.run:
        return Text.assemble((mark(State.RUNNING, beat=beat), "cyan"), " compiling")
    lines = rows(view, now=now, room=max(3, height - _LINES_AROUND))
    head = Text.assemble(
        (f"{mark(State.RUNNING, beat=beat)} ", "cyan"),
        (view.pipeline, "bold"),
        (f"  run {view.name}", "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )
    return Group(
        head,
        Text(),
        steps_table(lines, beat=beat),
        Text(),
        footer(view, now=now, home_words=home_words),
    )


def footer(view: RunView, *, now: float, home_words: str = "") -> Text:
    """The time so far, how much is done, and where the logs are."""
    if view.state.done:
        return Text(f"{view.label}, finishing its record in MLflow", style="dim")
    total = max(view.total, len(view.steps))
    parts = [
        clock(now - view.started),
        f"{len(view.finished)} of {total} steps",
        "Ctrl-C stops it",
        f"logs: headrace logs latest -f{home_words}",
    ]
    return Text(" · ".join(parts), style="dim", no_wrap=True, overflow="ellipsis")
