"""What a task sees around it, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headrace.core.states import State
from headrace.running.artifacts import Artifact, Outputs


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a task."""

    state: State
    """Its final state; a graph failed if anything in it did."""
    outputs: Outputs = field(default_factory=Outputs)
    """What others may read; empty unless the state is good."""
    error: dict[str, Any] | None = None
    """Why it failed, as the journal has it."""
    forced: bool = False
    """Whether it, or something before it, was to run whatever was there to reuse."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a task sees: its graph's inputs, and through `outer` those of the graphs around."""

    inputs: Outputs
    """The graph's own inputs."""
    outer: Scope | None = None
    """The scope around it. KFP's compiler sometimes forgets to hand an input on."""
    label: str = ""
    """Indices of the loops around, for names that people can tell apart."""
    forced: bool = False
    """Whether everything inside is to run."""

    def parameter(self, name: str) -> tuple[bool, Any]:
        """Whether there is such an input, and its value."""
        if name in self.inputs.parameters:
            return True, self.inputs.parameters[name]
        # A field of a loop's item inside an f-string: KFP's compiler asks for it by a name
        # that it defines nowhere.
        item, _, key = name.rpartition("-subvar-")
        value = self.inputs.parameters.get(item)
        if isinstance(value, dict) and key in value:
            return True, value[key]
        return self.outer.parameter(name) if self.outer else (False, None)

    def artifact(self, name: str) -> list[Artifact] | None:
        """The artifacts of an input, if it is there."""
        if name in self.inputs.artifacts:
            return self.inputs.artifacts[name]
        return self.outer.artifact(name) if self.outer else None


class Absent(Exception):
    """An input that a task must have comes from a branch that was not taken."""
