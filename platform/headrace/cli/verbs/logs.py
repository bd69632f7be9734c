"""`headrace logs`: what the steps of a run wrote, afterwards or while they write it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli.options import examples, home_option, json_option, shown
from headrace.sites.home import Home

if TYPE_CHECKING:
    from headrace.cli.tailing import Line
    from headrace.cli.view import RunView, StepView

_COLOURS = ("cyan", "green", "yellow", "magenta", "blue")


@click.command(
    epilog=examples(
        "headrace logs latest",
        "headrace logs latest train -f",
        "headrace logs 20261124-08 train[0] --tail 50",
    )
)
@click.argument("run", default="latest")
@click.argument("step", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over.")
@click.option("-n", "--tail", type=click.IntRange(min=1), help="Only each log's last lines.")
@home_option
@json_option
def command(
    run: str, step: str | None, follow: bool, tail: int | None, home: Home, as_json: bool
) -> int:
    """Show the logs of RUN (an id, its unique beginning, or `latest`), or of one STEP of it.

    Several logs are told apart by their steps' names at the start of each line. With --json,
    each line is an object with `step` and `text`.
    """
    from headrace.cli.choosing import choose_steps
    from headrace.cli.telling import read_view
    from headrace.sites.journal import find_run

    folder = find_run(home, run).folder
    view = read_view(folder)
    steps = choose_steps(view, step) if step else view.steps
    if follow and not view.state.done:
        lines = _followed(folder, step)
        _write(lines, prefix=len(steps) > 1, as_json=as_json)
        return 0
    found = [one for one in steps if one.logs]
    if not found:
        _say_none(view, steps, folder)
    _write(_read(found, folder, tail), prefix=len(found) > 1, as_json=as_json)
    return 0


def _read(steps: list[StepView], folder: Path, tail: int | None) -> Iterator[Line]:
    from headrace.cli.tailing import Line, whole_file

    for step in steps:
        for log in step.logs:
            yield from (
                Line(step=step.name, text=text) for text in whole_file(folder / log, lines=tail)
            )


def _followed(folder: Path, step: str | None) -> Iterator[Line]:
    from headrace.cli.choosing import choose_steps
    from headrace.cli.tailing import follow_logs
    from headrace.cli.telling import read_view

    def look() -> tuple[Mapping[Path, str], bool]:
        view = read_view(folder)
        steps = choose_steps(view, step) if step else view.steps
        over = view.state.done or bool(step and all(one.state.done for one in steps))
        return {folder / log: one.name for one in steps for log in one.logs}, over

    return follow_logs(look)


def _write(lines: Iterator[Line], *, prefix: bool, as_json: bool) -> None:
    if as_json:
        for line in lines:
            click.echo(json.dumps({"step": line.step, "text": line.text}, ensure_ascii=False))
        return
    colour_wanted = False if os.environ.get("NO_COLOR") else None
    colours: dict[str, str] = {}
    width = 0
    for line in lines:
        if prefix:
            width = max(width, len(line.step))
            colour = colours.setdefault(line.step, _COLOURS[len(colours) % len(_COLOURS)])
            head = click.style(f"{line.step:<{width}} │ ", fg=colour)
            click.echo(head, nl=False, color=colour_wanted)
        click.echo(line.text)


def _say_none(view: RunView, steps: tuple[StepView, ...], folder: Path) -> None:
    """Why there is nothing to show, on standard error."""
    for step in steps[:1] if len(steps) == 1 else ():
        if step.reused_from:
            click.echo(
                f"{step.name} was reused: headrace logs {step.reused_from} {step.name}", err=True
            )
            return
        click.echo(f"{step.name} has no log: {step.reason or step.state.value}", err=True)
        return
    click.echo(f"Run {view.run} has no logs in {shown(folder / 'logs')}.", err=True)
