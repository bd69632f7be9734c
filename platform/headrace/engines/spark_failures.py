"""What failed in a Spark step on a cluster, in our words."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from typing import Any

from headrace.engines.spark_executors import End

_TOO_MANY_FAILURES = 11
"""The JVM's exit code when executors have failed too often."""
_MANGLED = re.compile(r"s3a?:/(?!/)[^\s'\"]*")
_OPENED = re.compile(r"No such file or directory: '?(s3a?:/[^\s']*)")


class Explained(Exception):
    """A failure whose reason was found.

    Args:
        what: What happened; empty if the error itself says it well.
        hint: What to do.
    """

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what or hint)
        self.what = what
        self.hint = hint

    def over(self, description: dict[str, Any]) -> dict[str, Any]:
        """A description of the error, with what was found put over it."""
        found = {"what": self.what, "hint": self.hint}
        return description | {key: text for key, text in found.items() if text}


def explained(
    error: BaseException, *, ends: Sequence[End], given_up: str, jvm: int | None
) -> Explained | None:
    """The reason of a failure; None if the error says all there is.

    Args:
        error: What the step raised.
        ends: How executors were lost.
        given_up: Why no executor ever started.
        jvm: How the driver's JVM ended; None while it lives.
    """
    if given_up:
        return Explained(
            f"No executor could start: {given_up}",
            "ask for less, free some room, or correct the site; it waits for limits.pending",
        )
    if jvm is not None:
        return _driver_ended(jvm, ends)
    text = str(error)
    return _path(text) or _executors(text, ends) or _known(text)


def _driver_ended(code: int, ends: Sequence[End]) -> Explained:
    if code == _TOO_MANY_FAILURES:
        last = f": {ends[-1]}" if ends else ""
        return Explained(
            f"Executors failed too often{last}",
            "their logs are kept beside the step's; `headrace logs` shows them",
        )
    if code == -signal.SIGKILL:
        return Explained(
            "Spark's driver was killed: its JVM ended by SIGKILL.",
            "if nobody killed it, the step's pod has too little memory for heap and Python: "
            "ask for more with set_memory_limit, or collect less",
        )
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return Explained(
        f"Spark's driver ended {how} in the middle of the step.",
        "the step's log has what its JVM printed last",
    )


def _path(text: str) -> Explained | None:
    """Paths are URIs here, which neither `pathlib` nor `open` understands."""
    if _OPENED.search(text):
        return Explained(
            "",
            "in a Spark step on a cluster an artifact's path is a URI for Spark to read or write; "
            "small files are better written by a step of their own",
        )
    if mangled := _MANGLED.search(text):
        return Explained(
            f"{mangled[0]} is no URI: pathlib has taken one of its slashes away.",
            'join paths of artifacts as texts: f"{table.path}/part"',
        )
    return None


def _executors(text: str, ends: Sequence[End]) -> Explained | None:
    starved = [one for one in ends if one.memory]
    if "ExecutorLostFailure" in text or "exit code 137" in text:
        if starved or "exit code 137" in text:
            one = str(starved[-1]) if starved else "an executor was killed for its memory"
            return Explained(
                f"The job failed because executors ran out of memory: {one}",
                "give each more with hr.spark(memory=…), or make partitions smaller",
            )
        last = f": {ends[-1]}" if ends else "."
        return Explained(f"The job failed because executors were lost{last}", "")
    return None


def _known(text: str) -> Explained | None:
    return None
