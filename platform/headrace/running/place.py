"""Where the steps of a run take place: what the walk asks of this machine or of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from headrace.core.errors import StepFailed
from headrace.running.artifacts import Outputs
from headrace.running.leaf import Leaf
from headrace.running.reuse import Earlier


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a step."""

    leaf: Leaf
    """The step, with its inputs."""
    number: int
    """Which attempt it is, from 1."""
    engine: str
    """What people call its kind."""
    key: str
    """What its result will be found by."""
    log: str
    """Where its log goes, relative to the run's folder."""
    report: Callable[[Mapping[str, Any]], None]
    """Hands an event on that the step itself reports, such as metrics."""
    note: Callable[[str], None]
    """Says something short about how it is going."""


class Place(Protocol):
    """Where steps take place."""

    @property
    def root(self) -> str:
        """Where this run's artifacts go: a folder's path, or a URI."""

    @property
    def workspace(self) -> str:
        """The folder that all steps of the run share, if the pipeline asks for one."""

    def environment_digest(self) -> str:
        """A digest of what steps run with: part of every fingerprint."""

    async def start(self) -> None:
        """Get ready for steps."""

    async def close(self) -> None:
        """End whatever still runs."""

    async def record(self) -> Any:
        """Begin to write the run into MLflow; an awaitable that ends with it, or None."""

    def find_earlier(self, key: str) -> Earlier | None:
        """A complete and whole earlier result, if there is one. May take a while."""

    def import_artifact(self, importer: Mapping[str, Any], attempt: Attempt) -> Outputs:
        """Carry KFP's importer out. May take a while."""

    async def attempt(self, attempt: Attempt) -> Outputs:
        """Run a step once, and mark its outputs complete.

        Raises:
            HeadraceError: It failed. Cancelling ends whatever it has begun.
        """

    def stop_servers(self) -> None:
        """End the model servers that this run has started. May take a while."""


class Broken(StepFailed):
    """A step that ended badly, with what it said of it."""

    def __init__(self, described: dict[str, Any]) -> None:
        super().__init__(described["what"])
        self.described = described
