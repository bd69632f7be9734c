"""Artifacts' metadata as the step that made them wrote it.

Kubeflow Pipelines keeps metadata in ML Metadata, whose values are texts, numbers and structs:
a list comes back as `{"list": […]}`, a dict as `{"struct": {…}}`, a bool as 0 or 1, and two keys
of its own are added (`backend/src/v2/metadata/converter.go` of KFP 2.17).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp.dsl import Artifact

_ADDED = ("display_name", "store_session_info")
_WRAPPED = ("list", "struct")


def restore(arguments: Mapping[str, Any]) -> None:
    """Undo that for all artifacts among a step's arguments, but for bools, which stay numbers."""
    for one in arguments.values():
        for artifact in one if isinstance(one, list) else [one]:
            if isinstance(artifact, Artifact):
                artifact.metadata = as_written(artifact.metadata)


def as_written(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """One artifact's metadata, with what was wrapped unwrapped and what was added left out."""
    return {key: _unwrapped(one) for key, one in metadata.items() if key not in _ADDED}


def _unwrapped(value: Any) -> Any:
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _WRAPPED:
        return next(iter(value.values()))
    return value
