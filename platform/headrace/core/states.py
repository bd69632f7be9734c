"""The states of a run and of a step. Foreign states are translated to these at each door."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a run or a step stands."""

    PENDING = "pending"
    """Waits for the steps it needs, or for a free slot."""
    RUNNING = "running"
    """At work now."""
    SUCCEEDED = "succeeded"
    """Done, outputs complete."""
    REUSED = "reused"
    """Not run again: an earlier, verified result with the same fingerprint stands in."""
    SKIPPED = "skipped"
    """A condition was false, or a step that it needs was skipped or failed."""
    FAILED = "failed"
    """Raised, died, or broke a promise."""
    CANCELLED = "cancelled"
    """Stopped on its user's wish."""

    @property
    def done(self) -> bool:
        """Whether this state is final."""
        return self not in (State.PENDING, State.RUNNING)

    @property
    def good(self) -> bool:
        """Whether outputs are there to be read."""
        return self in (State.SUCCEEDED, State.REUSED)
