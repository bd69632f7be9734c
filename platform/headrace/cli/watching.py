"""Listeners for a run's events: the live display, plain lines, or silence."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live

from headrace.cli.progress import Event, advance
from headrace.cli.render.frame import frame
from headrace.cli.render.plain import progress_line
from headrace.cli.view import RunView

_FRAMES_PER_SECOND = 6


class Watcher(AbstractContextManager["Watcher"], Protocol):
    """Takes a run's events one by one and keeps the view that they add up to."""

    view: RunView

    def __call__(self, event: Event) -> None:
        """Take one event."""


class Silent:
    """Draws nothing."""

    def __init__(self) -> None:
        self.view = RunView()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        self.view = advance(self.view, event)


class PlainLines(Silent):
    """Writes a line at each step's start and end."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def __call__(self, event: Event) -> None:
        """Take one event and write its line at once, for whoever reads the log."""
        super().__call__(event)
        if line := progress_line(self.view, event):
            self._console.print(line, soft_wrap=True)
            self._console.file.flush()


class LiveDisplay(Silent):
    """Draws the run several times a second, and wipes the picture at the end."""

    def __init__(self, console: Console, home_words: str) -> None:
        super().__init__()
        self._home_words = home_words
        self._live = Live(
            self, console=console, refresh_per_second=_FRAMES_PER_SECOND, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield frame(
            self.view,
            now=time.time(),
            height=console.size.height,
            home_words=self._home_words,
        )


def watcher(console: Console | None, *, home_words: str = "") -> Watcher:
    """The listener that suits a console: live on a terminal, lines elsewhere, none for None.

    Args:
        console: Where to draw.
        home_words: What to put behind a command so that it finds the run's home.
    """
    if console is None:
        return Silent()
    return LiveDisplay(console, home_words) if console.is_terminal else PlainLines(console)
