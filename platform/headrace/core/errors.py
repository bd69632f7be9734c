"""What Headrace says when something is wrong.

An error tells what happened, where it looked, and what to do next; the command
line prints those three and never a traceback for a user's mistake. Each kind has
an exit code of its own, so that a script can tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import ClassVar


class HeadraceError(Exception):
    """An error with a remedy.

    Args:
        what: One sentence: what is wrong.
        where: Where Headrace looked, or where the evidence lies (paths, names).
        hint: What to do next.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str | Sequence[str] = (), hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where: tuple[str, ...] = (where,) if isinstance(where, str) else tuple(where)
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.what, *(f"  at: {place}" for place in self.where)]
        return "\n".join([*lines, f"  try: {self.hint}"] if self.hint else lines)


class UsageError(HeadraceError):
    """A wrong argument, name, type or pipeline definition: nothing was started."""

    exit_code = 2


class GateFailed(HeadraceError):
    """A promotion's gate said no. The run did its work; the model was not promoted."""

    exit_code = 3


class EnvironmentProblem(HeadraceError):
    """This machine or site lacks something: Java, a port, disk, a database that can be read."""

    exit_code = 4


class StepFailed(HeadraceError):
    """A step raised, was killed, or did not write what it promised."""

    exit_code = 1


class RunCancelled(HeadraceError):
    """The run was cancelled by its user."""

    exit_code = 130


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the near misses of `name`, or else what there is.

    >>> did_you_mean("epoch", ["epochs", "flights"])
    "Did you mean 'epochs'?"
    """
    choices = sorted(known)
    near = get_close_matches(name, choices, n=3, cutoff=0.6)
    if near:
        return f"Did you mean {' or '.join(repr(one) for one in near)}?"
    return f"There is: {', '.join(choices)}." if choices else ""
