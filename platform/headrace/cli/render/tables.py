"""Tables of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from headrace.cli.outcomes import outcomes
from headrace.cli.render.failure import failed_steps, stopped_at_gate
from headrace.cli.render.marks import mark, style
from headrace.cli.render.quantities import clock, day_and_time, duration, moment
from headrace.cli.view import RunView
from headrace.core.states import State
from headrace.serving.records import ServerRecord

_RESULT_STYLES = {State.FAILED: "red", State.CANCELLED: "yellow"}


def plain_table(*headings: str) -> Table:
    """A table without lines: headings dim, columns apart.

    Where the terminal is narrow the last column gives way first; fill it with `cut`.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, no_wrap=heading != headings[-1], overflow="ellipsis")
    return table


def cut(text: str, style: str = "") -> Text:
    """A cell of one line that ends with an ellipsis where its column ends."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def runs_table(views: Sequence[RunView]) -> Table:
    """A line per run, the latest at the bottom, next to the prompt. The id holds the pipeline.

    Where a run took place is told as soon as one of them was not here.
    """
    elsewhere = any(view.site for view in views)
    places = ["site"] if elsewhere else []
    table = plain_table("run", *places, "started", "took", "steps", "result")
    table.columns[2 + elsewhere].justify = "right"
    for view in views:
        table.add_row(
            Text.assemble((f"{mark(view.state)} ", style(view.state)), view.name),
            *([Text(view.where or "here", style="dim")] if elsewhere else []),
            Text(day_and_time(view.started), style="dim"),
            took(view.seconds),
            Text(steps_cell(view), style="dim"),
            cut(result_cell(view), _RESULT_STYLES.get(view.state, "")),
        )
    return table


def took(seconds: float | None) -> str:
    """A duration that leaves room for the rest of its line.

    >>> took(None), took(44.51), took(68)
    ('', '44.5 s', '1:08')
    """
    return duration(seconds) if seconds is None or seconds < 59.95 else clock(seconds)


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
        return "lost its client" if view.site else "killed"
    if view.state is State.FAILED:
        failed = failed_steps(view)
        return f"{failed[0].name} failed" if failed else "failed"
    return " · ".join(made) if view.state.good else view.state.value


def servers_table(records: Sequence[ServerRecord]) -> Table:
    """A line per model server."""
    table = plain_table("model", "version", "endpoint", "since", "started by")
    for one in records:
        table.add_row(
            Text(one.name, style="bold"),
            f"{one.version} ({one.alias})" if one.alias else one.version,
            one.endpoint,
            Text(moment(one.started), style="dim"),
            cut(one.run_id or "headrace serve", "dim"),
        )
    return table
