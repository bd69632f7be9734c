"""`headrace runs`: all runs in a table, or one run's summary once more."""

from __future__ import annotations

import click

from headrace.cli.options import examples, home_option, json_option
from headrace.sites.home import Home


@click.command(
    epilog=examples(
        "headrace runs",
        "headrace runs latest",
        "headrace runs 20261124-08 --json",
        "headrace runs --pipeline flights --last 5",
    )
)
@click.argument("run", required=False)
@click.option("--pipeline", metavar="NAME", help="Only runs of this pipeline.")
@click.option(
    "-n", "--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many."
)
@home_option
@json_option
def command(run: str | None, pipeline: str | None, last: int, home: Home, as_json: bool) -> int:
    """List the latest runs, or sum up one RUN: a name or id, its unique beginning, or `latest`."""
    from headrace.cli import console

    if run:
        _one(run, home, as_json=as_json)
        return 0
    from headrace.cli.render.machine import run_line
    from headrace.cli.render.tables import runs_table
    from headrace.cli.telling import read_view
    from headrace.sites.journal import list_runs

    records = list_runs(home)
    chosen = [one for one in records if pipeline in (None, one.pipeline)]
    views = [read_view(one.folder) for one in chosen[-last:]]
    if as_json:
        console.write_json([run_line(view, folder=home.run(view.run)) for view in views])
    elif views:
        console.show(runs_table(views))
        if len(chosen) > len(views):
            click.echo(f"{len(chosen) - len(views)} older: headrace runs --last {len(chosen)}")
    else:
        _none(pipeline, {one.pipeline for one in records}, home)
    return 0


def _one(run: str, home: Home, *, as_json: bool) -> None:
    from headrace.cli import console
    from headrace.cli.render.machine import run_object
    from headrace.cli.telling import print_summary, read_view
    from headrace.sites.journal import find_run

    record = find_run(home, run)
    view = read_view(record.folder)
    if as_json:
        console.write_json(run_object(view, folder=record.folder))
    else:
        print_summary(view, home, console.out())


def _none(pipeline: str | None, known: set[str], home: Home) -> None:
    from headrace.core.errors import UsageError, did_you_mean

    if pipeline and known:
        hint = did_you_mean(pipeline, known)
        raise UsageError(f"There is no run of a pipeline {pipeline!r}.", hint=hint)
    click.echo(f"There is no run in {home.root} yet. Start one: headrace run pipelines/NAME")
