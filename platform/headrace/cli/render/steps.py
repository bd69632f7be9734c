"""The table of a run's steps, as the live display and the summary both draw it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from headrace.cli.render.marks import mark, style
from headrace.cli.render.rows import Row
from headrace.core.states import State

_TEXT_STYLES = {State.FAILED: "red", State.RUNNING: "", State.SUCCEEDED: ""}


def steps_table(lines: Sequence[Row], *, beat: int | None = None) -> Table:
    """A line per row; the last column is the one that is cut where the terminal is narrow."""
    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column()
    for line in lines:
        quiet = line.state in (State.PENDING, State.SKIPPED)
        table.add_row(
            Text.assemble(
                (f"{mark(line.state, beat=beat)} ", style(line.state)),
                (line.name, "dim" if quiet else "bold"),
            ),
            Text(line.engine, style="dim"),
            Text(line.time, style="" if line.state is State.RUNNING else "dim"),
            Text(
                line.text,
                style=_TEXT_STYLES.get(line.state, "dim"),
                no_wrap=True,
                overflow="ellipsis",
            ),
        )
    return table
