"""Artifacts on disk: digests, manifests, and whether what was written is still whole."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from headrace.data.digests import content_digest

__all__ = ["Artifact", "Outputs", "content_digest", "whole", "write_atomically"]


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What a step made or was given, as KFP knows it, and the digest of its content."""

    name: str
    """KFP's name of the artifact."""
    type: str
    """KFP's schema title, such as `system.Dataset`."""
    uri: str
    """Where the content lies: a path on this machine, or a URI elsewhere."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What the step wrote into `metadata`."""
    digest: str | None = None
    """`sha256:…` of the content; None where nothing lies here."""
    listing: str | None = None
    """In a store: a digest over its objects' names, sizes and tags, as cheap to ask again."""

    @property
    def path(self) -> Path | None:
        """The path on this machine, if there is one."""
        parsed = urlparse(self.uri)
        if parsed.scheme == "file":
            return Path(parsed.path)
        return Path(self.uri) if self.uri and not parsed.scheme else None

    @property
    def identity(self) -> Any:
        """What makes it the same artifact for a step that reads it."""
        return [self.type, self.digest or self.uri, self.metadata]

    def to_dict(self) -> dict[str, Any]:
        """As the journal has it."""
        return asdict(self)

    def to_kfp(self) -> dict[str, Any]:
        """As KFP's executor takes it."""
        return {
            "name": self.name,
            "type": {"schemaTitle": self.type, "schemaVersion": "0.0.1"},
            "uri": self.uri,
            "metadata": self.metadata,
        }


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What came out of a task."""

    parameters: dict[str, Any] = field(default_factory=dict)
    """A value per output parameter."""
    artifacts: dict[str, list[Artifact]] = field(default_factory=dict)
    """Artifacts per output; more than one only where a loop's outputs were collected."""

    def to_dict(self) -> dict[str, Any]:
        """As the journal and manifests have it."""
        return {
            "parameters": self.parameters,
            "artifacts": {
                name: [one.to_dict() for one in some] for name, some in self.artifacts.items()
            },
        }

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Outputs:
        """The reverse of `to_dict`."""
        return cls(
            parameters=raw["parameters"],
            artifacts={
                name: [Artifact(**one) for one in some] for name, some in raw["artifacts"].items()
            },
        )


def whole(artifact: Artifact) -> bool:
    """Whether the artifact's content is there and what it was."""
    if artifact.digest is None or artifact.path is None:
        return True
    return content_digest(artifact.path) == artifact.digest


def write_atomically(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, pending = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as out:
            json.dump(value, out)
        os.replace(pending, path)
    except BaseException:
        Path(pending).unlink(missing_ok=True)
        raise
