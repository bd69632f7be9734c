"""What a run comes to, for whoever started it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.core.states import State
from headrace.sites.journal import Event


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """How one step ended."""

    step: str
    """Its path in the pipeline."""
    name: str
    """What people call it."""
    state: State
    """Its final state."""
    attempt: int
    """How many attempts it took."""
    inputs: dict[str, Any]
    """Its input artifacts."""
    parameters: dict[str, Any]
    """Its input parameters."""
    outputs: dict[str, Any]
    """What it made: `parameters` and `artifacts`."""
    reused_from: str | None
    """The run whose result stood in."""
    seconds: float
    """How long it took."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended."""

    run_id: str
    """The run's id."""
    state: State
    """Succeeded, failed or cancelled."""
    seconds: float
    """How long it took."""
    outputs: dict[str, Any]
    """The pipeline's outputs: parameters by value, artifacts as the journal has them."""
    error: dict[str, Any] | None
    """What went wrong first."""
    events: list[Event]
    """The journal."""

    @property
    def steps(self) -> list[StepResult]:
        """Every step that ended, in the order of their ends."""
        return [
            StepResult(
                step=one["step"],
                name=one["name"],
                state=State(one["state"]),
                attempt=one.get("attempt", 0),
                inputs=one.get("inputs", {}),
                parameters=one.get("parameters", {}),
                outputs=one.get("outputs", {"parameters": {}, "artifacts": {}}),
                reused_from=one.get("reused_from"),
                seconds=one["seconds"],
            )
            for one in self.events
            if one["type"] == "step_finished"
        ]
