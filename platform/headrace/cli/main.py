"""`headrace`: finds the verb, runs it, and turns whatever ends it into an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import click

from headrace.cli.failures import report
from headrace.cli.lazy import LazyGroup, Verb

CANCELLED_EXIT_CODE = 130

SECTIONS = {
    "Run": {
        "run": Verb(
            module="headrace.cli.verbs.run", purpose="Run a pipeline, here or on a cluster."
        ),
        "compile": Verb(
            module="headrace.cli.verbs.compile", purpose="Write a pipeline as a KFP YAML file."
        ),
        "cancel": Verb(module="headrace.cli.verbs.cancel", purpose="End a run, wherever it is."),
    },
    "Look": {
        "runs": Verb(module="headrace.cli.verbs.runs", purpose="List runs, or sum one up."),
        "status": Verb(
            module="headrace.cli.verbs.status", purpose="Show where a run stands, pods included."
        ),
        "why": Verb(module="headrace.cli.verbs.why", purpose="Say why a run failed, or waits."),
        "logs": Verb(module="headrace.cli.verbs.logs", purpose="Show what the steps wrote."),
        "models": Verb(
            module="headrace.cli.verbs.models", purpose="Show models, versions and decisions."
        ),
        "open": Verb(
            module="headrace.cli.verbs.open", purpose="Open the pages of MLflow, KFP or Ray."
        ),
    },
    "Serve": {
        "serve": Verb(module="headrace.cli.verbs.serve", purpose="Serve a registered model."),
        "stop": Verb(module="headrace.cli.verbs.stop", purpose="Stop model servers."),
    },
    "Keep in order": {
        "up": Verb(
            module="headrace.cli.verbs.up", purpose="Make a cluster here, with Headrace in it."
        ),
        "install": Verb(
            module="headrace.cli.verbs.install", purpose="Make a namespace of a cluster a site."
        ),
        "mirror": Verb(
            module="headrace.cli.verbs.mirror",
            purpose="List what a cluster without the internet needs.",
        ),
        "sites": Verb(
            module="headrace.cli.verbs.sites",
            purpose="List the sites that your contexts show.",
        ),
        "backup": Verb(
            module="headrace.cli.verbs.backup", purpose="Keep a site's databases and store."
        ),
        "restore": Verb(
            module="headrace.cli.verbs.restore", purpose="Make a site what it was at a backup."
        ),
        "clean": Verb(module="headrace.cli.verbs.clean", purpose="Remove what nobody needs."),
        "doctor": Verb(
            module="headrace.cli.verbs.doctor", purpose="Find what is wrong and how to mend it."
        ),
    },
}


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"headrace {version('headrace')}")
        ctx.exit()


cli = LazyGroup(
    name="headrace",
    sections=SECTIONS,
    help="Pipelines from raw tables to a served model: Spark prepares, Ray trains, MLflow keeps "
    "the record.",
    epilog="\b\nStart here:\n  headrace run pipelines/flights\n  headrace runs latest\n"
    "  headrace doctor",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_version,
            help="Show the version and exit.",
        )
    ],
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    0 done, 1 a step failed, 2 wrong usage, 3 a gate said no, 4 something is wrong with this
    machine, 70 a bug of Headrace's own, 130 cancelled.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        _never_fail_on_letters(stream)
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return 0
    return code


def _run(words: list[str]) -> int:
    try:
        result: Any = cli.main(args=words, prog_name="headrace", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        print("cancelled", file=sys.stderr)
        return CANCELLED_EXIT_CODE
    except SystemExit as leaving:
        # Click's own way out when whoever reads our output is gone.
        raise BrokenPipeError from leaving
    except BrokenPipeError:
        raise
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return 0
    except Exception as error:
        return report(error, as_json="--json" in words)
    return result if isinstance(result, int) else 0


def _never_fail_on_letters(stream: TextIO) -> None:
    """A terminal without UTF-8 gets a question mark for a tick, not an exception."""
    if reconfigure := getattr(stream, "reconfigure", None):
        reconfigure(errors="replace")


def _silence_stdout() -> None:
    """The reader is gone (`| head`): keep Python's last flush from complaining."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
