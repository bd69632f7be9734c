"""Where everything that the command line says goes out: one console per stream, made on demand."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.theme import Theme

PLAIN_WIDTH = 160
"""Columns where no terminal gives a width: tables in pipes and logs are not cut at 80."""


def out() -> Console:
    """For results: standard output."""
    return _console(sys.stdout)


def err() -> Console:
    """For progress and errors: standard error."""
    return _console(sys.stderr)


def show(picture: RenderableType, console: Console | None = None) -> None:
    """Print a picture, on standard output unless told otherwise.

    Lines to paste stay whole: where they are too long the terminal wraps them, not we. In
    pipes and logs no line ends in blanks.
    """
    target = console or out()
    if target.is_terminal:
        target.print(picture, crop=False)
        return
    with target.capture() as captured:
        target.print(picture, crop=False)
    target.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show what takes long, on a terminal and only until it is there."""
    console = err()
    if not console.is_terminal:
        yield
        return
    with console.status(text):
        yield


def _console(stream: TextIO) -> Console:
    terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
    width = None if terminal or "COLUMNS" in os.environ else PLAIN_WIDTH
    # Rich paints numbers and paths of its own accord; here colour means a state.
    return Console(
        file=stream,
        width=width,
        highlight=False,
        markup=False,
        emoji=False,
        force_terminal=terminal,
        theme=Theme({"table.header": "dim"}),
    )


def write_json(value: Any) -> None:
    """One JSON value on standard output, indented where a person reads it."""
    indent = 2 if sys.stdout.isatty() else None
    json.dump(value, sys.stdout, indent=indent, default=str, ensure_ascii=False)
    sys.stdout.write("\n")
