"""Gathers what a summary needs from the home, and prints it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from headrace.cli.console import show
from headrace.cli.options import home_words, shown
from headrace.cli.outcomes import outcomes
from headrace.cli.progress import fold
from headrace.cli.render.summary import Surroundings, summary
from headrace.cli.view import RunView
from headrace.sites.home import Home
from headrace.sites.journal import process_alive, read_events

if TYPE_CHECKING:
    from headrace.serving.records import ServerRecord

_SCREEN = (24, 30)
"""A summary fits the smaller of screens; it takes no more than the larger one has."""


def read_view(folder: Path) -> RunView:
    """The run in a folder, as its journal and its process tell."""
    view = fold(read_events(folder))
    if view.state.done:
        return view
    alive = view.pid is not None and process_alive(view.pid, view.pid_start)
    return view if alive else fold(read_events(folder), alive=False)


def print_summary(view: RunView, home: Home, console: Console) -> None:
    """The run's summary on a console."""
    height = None
    if console.is_terminal:
        height = min(max(console.size.height, _SCREEN[0]), _SCREEN[1]) - 1
    show(summary(view, surroundings(view, home, height=height)), console)


def surroundings(view: RunView, home: Home, *, height: int | None) -> Surroundings:
    """What a summary of the run needs to know: where its files are, which servers still run."""
    servers = _servers(view, home)
    return Surroundings(
        folder=shown(home.run(view.run)),
        now=time.time(),
        height=height,
        home_words=home_words(home),
        answering=[one.endpoint for one in servers],
        calls=[line for one in servers[:1] for line in call_lines(one)],
    )


def _servers(view: RunView, home: Home) -> list[ServerRecord]:
    urls = {one.url for one in outcomes(view).endpoints}
    if not urls or not home.servers.is_dir():
        return []
    from headrace.serving.local import running

    return [one for one in running(home) if one.endpoint in urls]


def call_lines(server: ServerRecord) -> list[str]:
    """A call of one server, broken where a shell lets it be broken."""
    from headrace.serving.examples import example_request

    head, mark, body = example_request(server).partition(" -d ")
    return [f"{head} \\", f"  -d {body}"] if mark else [head]
