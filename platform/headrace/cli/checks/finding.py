"""An answer of the doctor's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from headrace.core.errors import HeadraceError


class Health(StrEnum):
    """How things stand."""

    FINE = "fine"
    """Nothing to do."""
    ABSENT = "absent"
    """Not there and not needed unless you use it."""
    CAUTION = "caution"
    """Works, but may give trouble."""
    WRONG = "wrong"
    """Must be mended."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One answer."""

    subject: str
    """What was looked at: `Java`."""
    health: Health
    """How it stands."""
    text: str
    """What was found."""
    remedy: str = ""
    """What to do, where something is to be done."""
    where: tuple[str, ...] = ()
    """Where the evidence lies."""


def fine(subject: str, text: str) -> Finding:
    """All is well."""
    return Finding(subject=subject, health=Health.FINE, text=text)


def caution(subject: str, text: str, remedy: str) -> Finding:
    """It works, with a reservation."""
    return Finding(subject=subject, health=Health.CAUTION, text=text, remedy=remedy)


def wrong(subject: str, text: str, remedy: str) -> Finding:
    """It must be mended."""
    return Finding(subject=subject, health=Health.WRONG, text=text, remedy=remedy)


def from_error(subject: str, error: HeadraceError) -> Finding:
    """What an error says, as an answer."""
    return Finding(
        subject=subject,
        health=Health.WRONG,
        text=error.what,
        remedy=error.hint,
        where=error.where,
    )
