"""The doctor's answers as a list."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headrace.cli.checks.finding import Finding, Health
from headrace.cli.render.quantities import count

_MARKS = {
    Health.FINE: ("✔", "green"),
    Health.ABSENT: ("–", "dim"),
    Health.CAUTION: ("!", "yellow"),
    Health.WRONG: ("✘", "bold red"),
}


def findings_picture(findings: Sequence[Finding]) -> RenderableType:
    """A line per answer, with its remedy beneath, and a verdict."""
    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in findings:
        shape, style = _MARKS[one.health]
        table.add_row(
            Text.assemble((f"{shape} ", style), (one.subject, "bold")),
            Text(one.text, style="dim" if one.health is Health.ABSENT else ""),
        )
        for place in one.where:
            table.add_row("", Text.assemble(("at  ", "dim"), place))
        if one.remedy and one.health is not Health.FINE:
            table.add_row("", Text.assemble(("try ", "dim"), one.remedy))
    return Group(table, Text(), verdict(findings))


def verdict(findings: Sequence[Finding]) -> Text:
    """The last line."""
    bad = sum(one.health is Health.WRONG for one in findings)
    cautions = sum(one.health is Health.CAUTION for one in findings)
    if bad:
        return Text(f"{count(bad, 'thing')} to mend.", style="bold red")
    if cautions:
        return Text(f"Works, with {count(cautions, 'reservation')}.", style="yellow")
    return Text("All is well.", style="green")
