"""What is handed to a builder: a stage's files and arguments, and the tag that stands for them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

EPOCH = 315532800
"""The time of every file in an image: 1980, the first that all archive formats can hold."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One build: everything that its outcome depends on."""

    repository: str
    """The image's name without registry and tag: `headrace/python`."""
    kind: str
    """What its tag begins with: Headrace's version, or `libraries`."""
    files: Mapping[str, bytes]
    """The context: path to content. Its Dockerfile is one of them."""
    base: str
    """The public image at the bottom."""
    parents: Mapping[str, Stage] = field(default_factory=dict)
    """Stages that it stands on or takes from, by the build argument that names them."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The image's labels."""
    published: bool = True
    """Whether it is pushed; what only builds need is not."""

    @property
    def digest(self) -> str:
        """12 hex digits over all of the above; another value for any change, and only then."""
        facts = {
            "files": {name: hashlib.sha256(text).hexdigest() for name, text in self.files.items()},
            "base": self.base,
            "parents": {name: parent.digest for name, parent in self.parents.items()},
            "labels": dict(self.labels),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def tag(self) -> str:
        """`KIND-DIGEST`."""
        return f"{self.kind}-{self.digest}"

    def reference(self, registry: str) -> str:
        """The image's full name in a registry; `localhost` stands for none."""
        return f"{registry or 'localhost'}/{self.repository}:{self.tag}"

    def arguments(self, registry: str) -> dict[str, str]:
        """The build arguments."""
        named = {name: parent.reference(registry) for name, parent in self.parents.items()}
        base = {"BASE": self.base} if b"ARG BASE" in self.files["Dockerfile"] else {}
        return base | named


def read_folder(folder: Path, *, into: str = "") -> dict[str, bytes]:
    """Every file of a folder as part of a context."""
    return {
        into + path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def write_context(files: Mapping[str, bytes], folder: Path) -> None:
    """Lay a context out on disk. Scripts can be run; times and modes are the same everywhere."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if content.startswith(b"#!") else 0o644)
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (EPOCH, EPOCH))
