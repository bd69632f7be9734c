"""What a step's process is told by whoever started it, through its environment."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

RUN = "HEADRACE_RUN"
STEP = "HEADRACE_STEP"
PIPELINE = "HEADRACE_PIPELINE"
WORK = "HEADRACE_WORK"
CHECKPOINTS = "HEADRACE_CHECKPOINTS"
SITE = "HEADRACE_SITE"
"""The site as JSON: there in every pod that a client of ours has started."""
KFP_POD = "KFP_POD_NAME"
"""There in every pod of Kubeflow Pipelines."""


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """A step's place in its run. All of it has defaults, for a step called from elsewhere."""

    run: str
    """The run's id."""
    step: str
    """The step's path in the pipeline."""
    work: Path | None
    """The folder for what the step tells its runner: reports and the error."""
    scratch: Path
    """A folder for temporary files."""
    checkpoints: Path
    """Where a training step's checkpoints outlive its workers."""

    @property
    def label(self) -> str:
        """A name for this step that people recognise in an engine's own pages."""
        return f"{self.run}/{self.step}" if self.run else "headrace"


def context() -> StepContext:
    """The context of this process."""
    work = os.environ.get(WORK)
    scratch = Path(work) if work else Path(tempfile.gettempdir())
    return StepContext(
        run=os.environ.get(RUN, ""),
        step=os.environ.get(STEP, ""),
        work=Path(work) if work else None,
        scratch=scratch,
        checkpoints=Path(os.environ.get(CHECKPOINTS) or scratch / f"checkpoints-{os.getpid()}"),
    )


def in_pod() -> bool:
    """Whether this process belongs to a step's pod on a cluster."""
    return SITE in os.environ or KFP_POD in os.environ
