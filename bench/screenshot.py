"""Draws a run's summary as an SVG, for the README.

python bench/screenshot.py docs/summary.svg              the latest run
python bench/screenshot.py docs/summary.svg --run RUN    another run
python bench/screenshot.py docs/live.svg --at 42         the display 42 s after its start
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from rich.console import Console

from headrace.cli.progress import fold
from headrace.cli.render.frame import frame
from headrace.cli.render.summary import summary
from headrace.cli.telling import read_view, surroundings
from headrace.sites.home import find_home
from headrace.sites.journal import find_run, read_events

WIDTH, HEIGHT = 90, 44


def main() -> None:
    """Read the arguments and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("svg", type=Path)
    parser.add_argument("--run", default="latest")
    parser.add_argument("--home")
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--at", type=float, help="seconds after the start, for the live display")
    given = parser.parse_args()
    home = find_home(Path.cwd(), explicit=given.home)
    record = find_run(home, given.run)
    console = Console(
        record=True, width=given.width, file=io.StringIO(), force_terminal=True, highlight=False
    )
    if given.at is None:
        view = read_view(record.folder)
        console.print(f"$ headrace run {view.source}", style="dim")
        console.print(summary(view, surroundings(view, home, height=HEIGHT)))
    else:
        now = record.started + given.at
        view = fold(event for event in read_events(record.folder) if event["time"] <= now)
        console.print(frame(view, now=now, height=HEIGHT))
    given.svg.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(given.svg), title="headrace")


if __name__ == "__main__":
    main()
