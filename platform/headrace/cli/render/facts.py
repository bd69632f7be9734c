"""What a run achieved, in a few labelled lines: figures, version, gate, endpoint, places."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from headrace.cli.outcomes import Decision, Figures, Outcomes
from headrace.cli.render.quantities import figure_list

Fact = tuple[str, Text]
"""A label, empty for a line that goes on with the one above, and what it says."""

_MOST_FIGURES = 8
_LINE_WIDTH = 66
_MOST_STEPS = 2


def facts_table(facts: Sequence[Fact]) -> Table:
    """Labels in one column, what they say in the other."""
    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(width=8, style="dim")
    table.add_column(overflow="fold", ratio=1)
    for label, text in facts:
        table.add_row(label, text)
    return table


def facts(
    found: Outcomes, *, logs: Path, answering: Collection[str], home_words: str = ""
) -> list[Fact]:
    """Everything worth telling besides the steps.

    Args:
        found: What the run achieved.
        logs: The folder of its logs, as it should be shown.
        answering: The endpoints that run now.
        home_words: What to put behind a command so that it finds the run's home.
    """
    lines: list[Fact] = []
    # An evaluation says it all; a loop's figures stand in its steps' lines.
    judged = [one for one in found.figures if one.others]
    single = [one for one in found.figures if "[" not in one.step]
    for index, one in enumerate((judged or single)[-_MOST_STEPS:]):
        lines += _figure_facts(one, label="metrics" if index == 0 else "")
    for version in found.versions:
        text = Text(f"{version.name} version {version.version}")
        lines.append(("model", text.append(f"  {version.uri}", style="dim")))
    for made in found.decisions:
        lines += _gate_facts(made)
    for opened in found.endpoints:
        text = Text(opened.url, style="bold")
        if opened.url not in answering:
            again = f"headrace serve {opened.model}{home_words}"
            text = Text(f"{opened.url} was stopped: {again}", style="dim")
        lines.append(("endpoint", text))
    lines.append(("MLflow", Text(f"headrace open{home_words}")))
    lines.append(("logs", Text(str(logs))))
    return lines


def _figure_facts(figures: Figures, *, label: str) -> Iterator[Fact]:
    own = {key: value for key, value in figures.own.items() if not key.endswith("version")}
    shown = dict(list(own.items())[:_MOST_FIGURES])
    lines = [Text(line) for line in _filled(figure_list(shown).split(" · "))]
    more = f", {len(own) - len(shown)} more" if len(own) > len(shown) else ""
    lines[-1].append(f"  {figures.step}{more}", style="dim")
    if figures.others:
        first = next(iter(figures.own))
        lines.append(Text(f"{first} of {figure_list(figures.others)}", style="dim"))
    yield from ((label if place == 0 else "", line) for place, line in enumerate(lines))


def _filled(parts: Sequence[str]) -> list[str]:
    """Lines of whole parts, so that none is torn from its figure at a line's end."""
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(longer) <= _LINE_WIDTH:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def _gate_facts(made: Decision) -> Iterator[Fact]:
    verdict = ("passed", "green") if made.promoted else ("not passed", "bold red")
    reasons = "; ".join(made.reasons) or made.gate
    yield ("gate", Text.assemble(verdict, f": {reasons}" if reasons else ""))
    yield ("", Text(decision_effect(made)))


def decision_effect(made: Decision) -> str:
    """What became of the alias."""
    if not made.promoted:
        return f"{made.alias} stays where it is"
    if made.model.endswith(f"/{made.champion}"):
        return f"{made.model} was {made.alias} already"
    before = f", after version {made.champion}" if made.champion is not None else ""
    return f"{made.model} is {made.alias} now{before}"
