"""`headrace run`: execute a pipeline here or on a cluster, and show how it goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.options import examples, home_option, home_words, json_option, site_options
from headrace.sites.home import Home

if TYPE_CHECKING:
    from rich.console import Console

    from headrace.cli.view import RunView


@click.command(
    epilog=examples(
        "headrace run pipelines/flights",
        "headrace run pipelines/flights -p epochs=3 -p seed=1",
        "headrace run pipelines/flights --from train",
        "headrace run pipelines/flights --on kind-kind",
        "headrace run flights.yaml --json > result.json",
    )
)
@click.argument("pipeline")
@click.option(
    "-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Set a parameter."
)
@click.option("--no-cache", is_flag=True, help="Run every step, whatever earlier runs left.")
@click.option(
    "--from", "from_step", metavar="STEP", help="Run this step and all behind it; reuse the rest."
)
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Steps side by side.  [default: 8, or one per core]"
)
@site_options
@click.option(
    "--direct", is_flag=True, help="With --on: a pod per step, driven from here, without KFP."
)
@click.option(
    "--new", is_flag=True, help="With --on: begin anew, even if a run could be picked up again."
)
@click.option("--name", default="", help="Call the run so; made up unless given.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, and one line at the end.")
@home_option
@json_option
def command(
    pipeline: str,
    parameters: tuple[str, ...],
    no_cache: bool,
    from_step: str | None,
    jobs: int | None,
    on: str | None,
    namespace: str,
    direct: bool,
    new: bool,
    name: str,
    quiet: bool,
    home: Home,
    as_json: bool,
) -> int:
    """Run PIPELINE, a folder, a file, FILE:NAME or a compiled YAML file.

    It runs on this machine, or with --on on the cluster of a kubeconfig context. Steps whose
    code, inputs and settings are unchanged are not run again, so a run that failed or was
    stopped goes on where it was; one that lost its client is picked up again. Ends with 0
    if all went well, 1 if a step failed, 3 if a gate said no, 130 if cancelled.
    """
    from headrace.cli.watching import watcher

    # The picture is there before the slow imports and the compiler are.
    console = _progress_console(as_json=as_json, quiet=quiet)
    with watcher(console, home_words=home_words(home)) as watch:
        from headrace.compiling.pipeline import compile_pipeline, find_pipeline
        from headrace.running.parameters import parse_arguments

        compiled = compile_pipeline(find_pipeline(pipeline))
        arguments = parse_arguments(parameters, compiled.parameters)
        options: dict[str, Any] = {
            "use_cache": not no_cache, "from_step": from_step, "jobs": jobs,
            "on_event": watch, "source": pipeline, "name": name,
        }  # fmt: skip
        try:
            if on is None:
                from headrace.running.run import run_pipeline

                run_pipeline(compiled, arguments, home, **options)
            else:
                from headrace.running.onsite import run_on

                options |= {"context": on, "namespace": namespace, "direct": direct}
                run_on(compiled, arguments, home, resume=not new, **options)
        except KeyboardInterrupt:
            # A second Ctrl-C, when all is over but MLflow's record, which goes on by itself.
            if not watch.view.state.done:
                raise
    _tell(watch.view, home, as_json=as_json, quiet=quiet)
    return watch.view.exit_code


def _progress_console(*, as_json: bool, quiet: bool) -> Console | None:
    """Where progress goes. With --json, standard output is the program's alone."""
    from headrace.cli import console

    if quiet:
        return None
    if as_json:
        return console.err() if console.err().is_terminal else None
    return console.out()


def _tell(view: RunView, home: Home, *, as_json: bool, quiet: bool) -> None:
    from headrace.cli import console

    folder = home.run(view.run)
    if as_json:
        from headrace.cli.render.machine import run_object

        console.write_json(run_object(view, folder=folder))
        return
    if quiet and view.state.good:
        from headrace.cli.render.summary import headline

        console.show(headline(view, now=time.time()))
        return
    from headrace.cli.telling import print_summary
    from headrace.registry.recorder import ERROR_FILE

    print_summary(view, home, console.out() if view.state.good or not quiet else console.err())
    if (folder / ERROR_FILE).exists():
        console.show(f"MLflow's record of this run is incomplete: {folder / ERROR_FILE} says why.")
        console.show("`headrace open` completes it first.")
