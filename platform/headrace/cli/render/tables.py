"""Tables of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from headrace.cli.outcomes import outcomes
from headrace.cli.progress import RunView
from headrace.cli.render.failure import failed_steps, stopped_at_gate
from headrace.cli.render.marks import mark, style
from headrace.cli.render.quantities import duration, moment
from headrace.core.states import State


def plain_table(*headings: str) -> Table:
    """A table without lines: headings dim, columns apart."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    return table


def runs_table(views: Sequence[RunView]) -> Table:
    """A line per run, the latest at the bottom, next to the prompt."""
    table = plain_table("run", "pipeline", "started", "took", "steps", "result")
    table.columns[3].justify = "right"
    table.columns[0].overflow = "fold"
    for view in views:
        table.add_row(
            Text.assemble((f"{mark(view.state)} ", style(view.state)), view.run),
            view.pipeline,
            Text(moment(view.started), style="dim"),
            duration(view.seconds),
            Text(steps_cell(view), style="dim"),
            Text(result_cell(view), style=style(view.state) if not view.state.good else ""),
        )
    return table


def steps_cell(view: RunView) -> str:
    """`6`, `6, 4 reused`, or `2 of 6` where not all were done."""
    states = Counter(step.state for step in view.steps)
    good = states[State.SUCCEEDED] + states[State.REUSED]
    total = max(view.total, len(view.steps)) - states[State.SKIPPED]
    done = f"{good}" if good == total else f"{good} of {total}"
    return f"{done}, {states[State.REUSED]} reused" if states[State.REUSED] else done


def result_cell(view: RunView) -> str:
    """What came of a run, in a few words: its version and gate, or what failed."""
    found = outcomes(view)
    made = [f"{one.name}/{one.version}" for one in found.versions]
    made += [one.alias if one.promoted else "not promoted" for one in found.decisions]
    if stopped_at_gate(view):
        return " · ".join([*made, "gate not passed"])
    if view.killed:
        return "killed"
    if view.state is State.FAILED:
        failed = failed_steps(view)
        return f"{failed[0].name} failed" if failed else "failed"
    return " · ".join(made) if view.state.good else view.state.value
