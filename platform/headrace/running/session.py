"""One run's surroundings: its folder, journal, processes and settings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.compiling.pipeline import Compiled
from headrace.core.errors import EnvironmentProblem
from headrace.executing import failures
from headrace.sites.home import Home
from headrace.sites.journal import Event, Journal

if TYPE_CHECKING:
    from headrace.running.place import Place


class Slots(asyncio.Semaphore):
    """How many steps may run at once."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self._count = count

    def __len__(self) -> int:
        return self._count


@dataclass(kw_only=True)
class Session:
    """What the walk and the steps of one run share."""

    compiled: Compiled
    """What runs."""
    run_id: str
    """Its id."""
    home: Home
    """Where everything is kept."""
    journal: Journal
    """Where it is written down."""
    slots: Slots
    """How many steps may run at once."""
    use_cache: bool
    """Whether earlier results may stand in."""
    from_step: str | None
    """The step that, with all after it, is to run whatever there is."""
    code: Path | None
    """The unpacked code bundle."""
    recorded: bool
    """Whether it is written into MLflow."""
    place: Place = field(init=False)
    """Where its steps run."""
    on_event: Callable[[Event], None] | None = None
    """Told of every event."""
    events: list[Event] = field(default_factory=list)
    """All events so far."""
    started: str = ""
    """When the run started, in ISO 8601."""
    lost: OSError | None = None
    """Why the journal could not be written, if it could not."""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.home.run(self.run_id)

    def component(self, task: Mapping[str, Any]) -> Mapping[str, Any]:
        """The component behind a task."""
        found: Mapping[str, Any] = self.compiled.ir["components"][task["componentRef"]["name"]]
        return found

    def executor(self, label: str) -> Mapping[str, Any]:
        """What an executor label stands for."""
        found: Mapping[str, Any] = self.compiled.ir["deploymentSpec"]["executors"][label]
        return found

    def kubernetes(self, label: str) -> Mapping[str, Any]:
        """What the pipeline says of this executor for Kubernetes alone."""
        spec = self.compiled.platforms.get("kubernetes", {}).get("deploymentSpec", {})
        found: Mapping[str, Any] = spec.get("executors", {}).get(label, {})
        return found

    def placeholders(self, path: str, task: str) -> dict[str, str]:
        """Values of the placeholders that any task may use."""
        return {
            "pipeline_job_uuid": self.run_id,
            "pipeline_job_name": self.run_id,
            "pipeline_job_resource_name": self.run_id,
            "pipeline_job_create_time_utc": self.started,
            "pipeline_job_schedule_time_utc": self.started,
            "pipeline_task_name": task,
            "pipeline_task_uuid": f"{self.run_id}/{path}/{task}"
            if path
            else f"{self.run_id}/{task}",
            "pipeline_root": self.place.root,
            "workspace_path": self.place.workspace,
        }

    def emit(self, **event: Any) -> None:
        """Write an event down and tell whoever listens.

        Raises:
            EnvironmentProblem: It cannot be written: the run must not go on unrecorded.
        """
        try:
            whole = self.journal.write(event)
        except OSError as error:
            self.lost = error
            raise EnvironmentProblem(
                f"The run's journal cannot be written: {error.strerror}.",
                where=str(self.folder),
                hint="free some disk space and run again; what is complete is kept",
            ) from error
        self.events.append(whole)
        if self.on_event is not None:
            self.on_event(whole)

    def describe(self, error: BaseException) -> dict[str, Any]:
        """An error as the journal has it."""
        return failures.describe(error)
