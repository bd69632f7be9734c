"""Reads step logs: whole, their last lines, or as they grow."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a step's log."""

    step: str
    """The step's name."""
    text: str
    """Without its line break."""
    source: str = ""
    """Which of the step's pods wrote it, such as `executor 2`; empty where there is but one."""


class GrowingFile:
    """Gives the lines that came since the last look; a line still being written waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def new(self, *, last: bool = False) -> list[str]:
        """The new lines.

        Args:
            last: Nothing more will come: an unfinished line is given too.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            content = b""
        self._offset += len(content)
        whole, mark, rest = (self._rest + content).rpartition(b"\n")
        self._rest = rest
        if last and rest:
            whole, mark, self._rest = whole + mark + rest, b"\n", b""
        return _text(whole).split("\n") if mark else []


def whole_file(path: Path, *, lines: int | None = None) -> list[str]:
    """A log's lines, or its last ones; none if it is not there.

    The file is read as a stream, so that the end of a huge log costs no memory.
    """
    try:
        with path.open("rb") as file:
            return [_text(line).rstrip("\n") for line in deque(file, maxlen=lines)]
    except FileNotFoundError:
        return []


def follow_logs(look: Callable[[], tuple[Mapping[Path, str], bool]]) -> Iterator[Line]:
    """Lines of many logs as they are written, until the run is over.

    Args:
        look: Gives the logs there are now with their steps' names, and whether the run
            is over.
    """
    files: dict[Path, GrowingFile] = {}
    while True:
        logs, over = look()
        for path, name in logs.items():
            growing = files.setdefault(path, GrowingFile(path))
            yield from (Line(step=name, text=text) for text in growing.new(last=over))
        if over:
            return
        time.sleep(_POLL_SECONDS)


def _text(content: bytes) -> str:
    # A progress bar rewrites its line with carriage returns: its last state is what counts.
    text = content.decode("utf-8", errors="replace").replace("\r\n", "\n")
    return "\n".join(line.rpartition("\r")[2] for line in text.split("\n"))
