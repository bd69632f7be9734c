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
    from headrace.cli.cluster.finding import Found
    from headrace.cli.tailing import Line
    from headrace.cli.view import RunView, StepView

_COLOURS = ("cyan", "green", "yellow", "magenta", "blue")
_SOURCES = ("all", "driver", "executors", "ray")


@click.command(
    epilog=examples(
        "headrace logs latest",
        "headrace logs latest train -f",
        "headrace logs 20261124-08 train[0] --tail 50",
        "headrace logs latest features --source executors",
        "headrace logs flights-20261124 --on kind-team --namespace ml",
    )
)
@click.argument("run", default="latest")
@click.argument("step", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over.")
@click.option("-n", "--tail", type=click.IntRange(min=1), help="Only each log's last lines.")
@click.option(
    "--source", type=click.Choice(_SOURCES), default="all",
    help="On a cluster: only the steps' own pods, Spark's executors, or Ray's head and workers.",
)  # fmt: skip
@click.option(
    "--on", metavar="CONTEXT", help="A site, for runs that another machine has begun there."
)
@click.option("--namespace", default="", metavar="NAME", help="The site's namespace.")
@home_option
@json_option
def command(
    run: str,
    step: str | None,
    follow: bool,
    tail: int | None,
    source: str,
    on: str | None,
    namespace: str,
    home: Home,
    as_json: bool,
) -> int:
    """Show the logs of RUN (a name or id, its unique beginning, or `latest`), or of one STEP of it.

    Several logs are told apart by their steps' names at the start of each line, and on a
    cluster by the pods that wrote them: a Spark step's driver and executors, a Ray step's own
    pod, its head and workers. Logs of pods that are gone come from this machine or from the
    site's store. With --json, each line is an object with `step` and `text`, and `source`
    where a step has several pods.
    """
    from headrace.sites.journal import find_run

    if on is None:
        folder = find_run(home, run).folder
        if not _takes_place_elsewhere(folder):
            return _here(folder, step, follow=follow, tail=tail, as_json=as_json)
    return _on_cluster(
        home, run, step, follow=follow, tail=tail, source=source, on=on, namespace=namespace,
        as_json=as_json,
    )  # fmt: skip


def _takes_place_elsewhere(folder: Path) -> bool:
    from headrace.cli.telling import read_view

    return bool(read_view(folder).site)


def _here(folder: Path, step: str | None, *, follow: bool, tail: int | None, as_json: bool) -> int:
    """The logs of a run on this machine."""
    from headrace.cli.choosing import choose_steps
    from headrace.cli.telling import read_view

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


def _on_cluster(
    home: Home,
    run: str,
    step: str | None,
    *,
    follow: bool,
    tail: int | None,
    source: str,
    on: str | None,
    namespace: str,
    as_json: bool,
) -> int:
    """The logs of a run whose steps are pods."""
    from headrace.cli.choosing import choose_steps
    from headrace.cli.cluster import logs
    from headrace.cli.cluster.finding import found

    def wanted(local: Found) -> bool:
        chosen = choose_steps(local.view, step) if step else local.view.steps
        return (follow and not local.over) or logs.needs_site(local, chosen, source)

    with found(home, run, on, namespace, wanted=wanted) as one:
        steps = choose_steps(one.view, step) if step else one.view.steps
        several = len([each for each in steps if each.state.value != "skipped"]) > 1
        if follow and not one.over:
            _write(logs.following(one, step, source), prefix=several, as_json=as_json)
            return 0
        _say_unreachable(one)
        count = _write(logs.afterwards(one, steps, source, tail), prefix=several, as_json=as_json)
        if not count:
            _say_none(one.view, steps, one.folder)
    return 0


def _say_unreachable(run: Found) -> None:
    """That something is missing, on standard error: what is known is shown all the same."""
    problem = run.there.problem if run.there else None
    if problem is not None:
        click.echo(f"Only what lies on this machine: {problem.what}", err=True)


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


def _write(lines: Iterator[Line], *, prefix: bool, as_json: bool) -> int:
    """Write lines, and return how many there were."""
    colour_wanted = False if os.environ.get("NO_COLOR") else None
    colours: dict[str, str] = {}
    width = count = 0
    for line in lines:
        count += 1
        if as_json:
            click.echo(json.dumps(_object(line), ensure_ascii=False))
            continue
        who = " ".join(filter(None, [line.step if prefix else "", line.source]))
        if who:
            width = max(width, len(who))
            colour = colours.setdefault(who, _COLOURS[len(colours) % len(_COLOURS)])
            head = click.style(f"{who:<{width}} │ ", fg=colour)
            click.echo(head, nl=False, color=colour_wanted)
        click.echo(line.text)
    return count


def _object(line: Line) -> dict[str, str]:
    source = {"source": line.source} if line.source else {}
    return {"step": line.step, **source, "text": line.text}


def _say_none(view: RunView, steps: tuple[StepView, ...], folder: Path | None) -> None:
    """Why there is nothing to show, on standard error."""
    for step in steps[:1] if len(steps) == 1 else ():
        if step.reused_from:
            click.echo(
                f"{step.name} was reused: headrace logs {step.reused_from} {step.name}", err=True
            )
            return
        click.echo(f"{step.name} has no log: {step.reason or step.state.value}", err=True)
        return
    where = f"in {shown(folder / 'logs')}" if folder else "that its site keeps"
    click.echo(f"Run {view.name} has no logs {where}.", err=True)
