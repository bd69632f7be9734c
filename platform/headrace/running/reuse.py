"""Reuse: a step's fingerprint, and earlier results that carry the same one.

The fingerprint covers the step's program (with the digest of its code and its engine's
settings), its inputs by content, its parameters, the names of its outputs and the
installed packages. A result is trusted only after its artifacts were found whole.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from headrace.running.artifacts import Artifact, Outputs, whole, write_atomically
from headrace.sites.home import Home

MANIFEST = "manifest.json"
"""Written last into a step's folder: what it names is complete."""


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A result that may stand in for a step."""

    run: str
    """The run that made it."""
    outputs: Outputs
    """What it made."""


def fingerprint(
    *,
    program: Any,
    parameters: Mapping[str, Any],
    artifacts: Mapping[str, list[Artifact]],
    outputs: Any,
    environment: str,
) -> str:
    """The fingerprint of a step about to run.

    Args:
        program: What runs.
        parameters: Its parameters.
        artifacts: Its input artifacts.
        outputs: The outputs that it promises.
        environment: A digest of what it runs with.
    """
    facts = {
        "program": program,
        "parameters": dict(parameters),
        "artifacts": {name: [one.identity for one in some] for name, some in artifacts.items()},
        "outputs": outputs,
        "environment": environment,
    }
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=1)
def environment_digest() -> str:
    """A digest of Python's version and of every installed package's name and version."""
    names = {
        one.name
        for folder in sys.path
        if folder and Path(folder).is_dir()
        for one in Path(folder).glob("*.dist-info")
        if not one.name.startswith("headrace-")
    }
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = "\n".join([python, version("headrace"), *sorted(names)])
    return hashlib.sha256(text.encode()).hexdigest()


def find_earlier(home: Home, key: str) -> Earlier | None:
    """A complete and whole earlier result for a fingerprint, if there is one."""
    entry = _read(home.cache / f"{key}.json")
    manifest = _read(home.root / entry["manifest"]) if entry else None
    if manifest is None or manifest.get("fingerprint") != key:
        return None
    try:
        outputs = Outputs.from_dict(manifest["outputs"])
    except (KeyError, TypeError, AttributeError):  # another version's, or nobody's
        return None
    if not all(whole(one) for some in outputs.artifacts.values() for one in some):
        return None
    return Earlier(run=manifest["run"], outputs=outputs)


def keep(home: Home, folder: Path, *, key: str, run: str, step: str, outputs: Outputs) -> None:
    """Mark a step's folder complete, and let later runs find it by its fingerprint."""
    manifest = folder / MANIFEST
    facts = {"run": run, "step": step, "fingerprint": key, "outputs": outputs.to_dict()}
    write_atomically(manifest, facts)
    entry = {"manifest": manifest.relative_to(home.root).as_posix()}
    write_atomically(home.cache / f"{key}.json", entry)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
