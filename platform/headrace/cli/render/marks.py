"""The mark and colour of each state. Shapes differ as well as colours, for every eye."""

from __future__ import annotations

from headrace.core.states import State

MARKS: dict[State, tuple[str, str]] = {
    State.PENDING: ("○", "dim"),
    State.RUNNING: ("●", "cyan"),
    State.SUCCEEDED: ("✔", "green"),
    State.REUSED: ("↺", "green"),
    State.SKIPPED: ("–", "dim"),
    State.FAILED: ("✘", "bold red"),
    State.CANCELLED: ("■", "yellow"),
}
"""State to shape and style."""

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
"""The running mark's shapes in turn, on a terminal."""


def mark(state: State, *, beat: int | None = None) -> str:
    """The state's shape; with a beat, a running step's spinner."""
    if state is State.RUNNING and beat is not None:
        return SPINNER[beat % len(SPINNER)]
    return MARKS[state][0]


def style(state: State) -> str:
    """The state's rich style."""
    return MARKS[state][1]
