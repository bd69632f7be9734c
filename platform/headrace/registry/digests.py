"""The digest of a model's folder: the same for the same model, whenever it was saved."""

from __future__ import annotations

import hashlib
from pathlib import Path

import yaml

# What MLflow writes anew into the description each time a model is saved.
_PASSING = frozenset({"utc_time_created", "model_uuid", "model_id", "run_id", "artifact_path"})
_DESCRIPTION = "MLmodel"


def model_digest(folder: Path) -> str:
    """`sha256:` over the names and contents of a model's files, but for when it was saved."""
    whole = hashlib.sha256()
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        name = file.relative_to(folder).as_posix()
        whole.update(f"{name}\0{_file_digest(file, lasting=name == _DESCRIPTION)}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _file_digest(file: Path, *, lasting: bool) -> str:
    if lasting:
        description = yaml.safe_load(file.read_text()) or {}
        kept = {name: value for name, value in description.items() if name not in _PASSING}
        return hashlib.sha256(yaml.safe_dump(kept, sort_keys=True).encode()).hexdigest()
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
