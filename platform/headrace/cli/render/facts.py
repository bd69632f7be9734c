"""What a run achieved, in a few labelled lines: figures, version, gate, endpoint, places."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from headrace.cli.outcomes import Decision, Endpoint, Figures, Outcomes
from headrace.cli.render.quantities import figure, figure_list

Fact = tuple[str, Text]
"""A label, empty for a line that goes on with the one above, and what it says."""

_MOST_FIGURES = 6
_MOST_STEPS = 2
"""Evaluations, or else the last steps that have figures; the steps' own lines show more."""


def facts_table(facts: Sequence[Fact]) -> Table:
    """Labels in one column, what they say in the other."""
    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(width=8, style="dim")
    table.add_column(overflow="fold", ratio=1)
    for label, text in facts:
        table.add_row(label, text)
    return table


def facts(found: Outcomes, *, logs: Path, calls: Sequence[str] = ()) -> list[Fact]:
    """Everything worth telling besides the steps.

    Args:
        found: What the run achieved.
        logs: The folder of its logs, as it should be shown.
        calls: Lines to paste that ask the endpoint for a prediction.
    """
    lines: list[Fact] = []
    judged = [one for one in found.figures if one.others]
    for index, one in enumerate((judged or found.figures)[-_MOST_STEPS:]):
        lines += _figure_facts(one, label="metrics" if index == 0 else "")
    for version in found.versions:
        text = Text.assemble(f"{version.name} version {version.version}", (f"  {version.uri}", "dim"))
        lines.append(("model", text))
    for made in found.decisions:
        lines += _gate_facts(made)
    for opened in found.endpoints:
        lines += _endpoint_facts(opened, calls)
    lines.append(("MLflow", Text("headrace ui")))
    lines.append(("logs", Text(str(logs))))
    return lines


def _figure_facts(figures: Figures, *, label: str) -> Iterator[Fact]:
    own = {key: value for key, value in figures.own.items() if not key.endswith("version")}
    head = Text(figure_list(own, most=_MOST_FIGURES))
    more = len(own) - _MOST_FIGURES
    yield (label, Text.assemble(head, (f"  {figures.step}{f', {more} more' if more > 0 else ''}", "dim")))
    if figures.others:
        first = next(iter(figures.own))
        yield ("", Text(f"{first} of {figure_list(figures.others)}", style="dim"))


def _gate_facts(made: Decision) -> Iterator[Fact]:
    verdict = ("passed", "green") if made.promoted else ("not passed", "bold red")
    gate = f": {with_figures(made.gate, made.figures)}" if made.gate else ""
    yield ("gate", Text.assemble(verdict, gate))
    if made.reason and not made.figures:
        yield ("", Text(made.reason))
    if made.promoted:
        yield ("", Text(f"{made.model or 'the new version'} is {made.alias} now"))
    else:
        yield ("", Text(f"{made.alias} stays where it is"))


def with_figures(gate: str, figures: Mapping[str, object]) -> str:
    """The expression with each name's value behind it.

    >>> with_figures("auc >= champion.auc", {"auc": 0.7123, "champion.auc": 0.7081})
    'auc 0.7123 >= champion.auc 0.7081'
    """

    def value(match: re.Match[str]) -> str:
        name = match[0]
        return f"{name} {figure(figures[name])}" if name in figures else name

    return re.sub(r"[A-Za-z_][\w.]*", value, gate)


def _endpoint_facts(opened: Endpoint, calls: Sequence[str]) -> Iterator[Fact]:
    yield ("endpoint", Text(opened.url, style="bold"))
    yield from (("", Text(line)) for line in calls)


def curl(url: str, body: str, *, width: int = 66) -> list[str]:
    """Lines to paste into a shell that send `body` to a server, none longer than they must be.

    >>> curl("http://127.0.0.1:1", '{"a": 1}')
    ['curl http://127.0.0.1:1 -H Content-Type:application/json \\\\', "  -d '{\\"a\\": 1}'"]
    """
    head = f"curl {url} -H Content-Type:application/json"
    data = f"-d {shlex.quote(body)}"
    return [f"{head} {data}"] if len(head) + len(data) < width else [f"{head} \\", f"  {data}"]
