"""One step of a walk, with everything that it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.running.artifacts import Outputs


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A step to run."""

    path: str
    """Where it stands in the pipeline, parts joined by slashes."""
    task_name: str
    """Its key in its graph."""
    name: str
    """What people call it, loop indices included."""
    component: Mapping[str, Any]
    """Its component."""
    label: str
    """Its executor's label."""
    inputs: Outputs
    """Its inputs, resolved."""
    around: Outputs
    """The inputs of the graph it stands in, which Kubernetes settings refer to."""
    retry: Mapping[str, Any]
    """KFP's retry policy."""
    cached: bool
    """Whether an earlier result may stand in."""
    cache_key: str
    """What the pipeline's author put in the place of the fingerprint; empty for nothing."""
