"""Gathers what a summary needs from the home, and prints it."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from headrace.cli.options import shown
from headrace.cli.progress import RunView, fold
from headrace.cli.render.summary import Surroundings, summary
from headrace.sites.home import Home
from headrace.sites.journal import process_alive, read_events

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
    around = Surroundings(
        folder=shown(home.run(view.run)), now=time.time(), height=height, calls=()
    )
    # Lines to paste must stay whole: the terminal wraps them, not we.
    console.print(summary(view, around), crop=False)
