"""What a version needs of the machine that serves it, read without fetching the whole model."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headrace.registry.catalog import lineage, resolve
from headrace.registry.signatures import Signature, read_signature
from headrace.registry.tracking import connect, foreign_errors

_DESCRIPTION = "MLmodel"
_REQUIREMENTS = "requirements.txt"
_EXAMPLE = "serving_input_example.json"
_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?(==(?P<version>[^;\s]+))?")


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a version was saved with."""

    python: str
    """Python's version, `3.12.1`; empty if the model does not say."""
    packages: Mapping[str, str]
    """The packages that it asks for, each with its pinned version or an empty text."""
    from_code: bool
    """Whether it is a model from code: nothing in it is pickled by a certain Python."""
    torch: bool
    """Whether it cannot be opened without torch."""


@dataclass(frozen=True, kw_only=True)
class Servable:
    """A version, named once and for all, and what serving it takes."""

    name: str
    """The registered model."""
    version: int
    """The version's number."""
    digest: str
    """`sha256:…` of its content; empty when it was not registered by Headrace."""
    code: str
    """Digest of the project's code that made it; empty likewise."""
    needs: Needs
    """What it was saved with."""
    signature: Signature
    """What it takes and gives."""
    example: dict[str, Any] | None
    """The input example as a body of `/invocations`, if the model carries one."""

    @property
    def uri(self) -> str:
        """`models:/NAME/VERSION`."""
        return f"models:/{self.name}/{self.version}"


def servable(tracking_uri: str, name: str, alias_or_version: int | str) -> Servable:
    """The version that an alias or a number means now, with what it needs.

    Raises:
        UsageError: There is no such model, alias or version (near misses are named).
        EnvironmentProblem: The registry cannot be reached, or has lost the model's files.
    """
    number, uri = resolve(tracking_uri, name, alias_or_version)
    origin = lineage(tracking_uri, name, number)
    with foreign_errors(f"read what {uri} needs", tracking_uri), tempfile.TemporaryDirectory() as t:
        source = connect(tracking_uri).get_model_version_download_uri(name, str(number))
        texts = _small_files(source, tracking_uri, Path(t))
    meta = yaml.safe_load(texts[_DESCRIPTION])
    return Servable(
        name=name,
        version=number,
        digest=origin.version.digest,
        code=origin.code_digest,
        needs=read_needs(meta, texts.get(_REQUIREMENTS, "")),
        signature=read_signature(meta),
        example=json.loads(texts[_EXAMPLE]) if _EXAMPLE in texts else None,
    )


def read_needs(meta: Mapping[str, Any], requirements: str) -> Needs:
    """What a model needs.

    Args:
        meta: What its file `MLmodel` says.
        requirements: The text of its `requirements.txt`; empty if there is none.
    """
    flavors = meta.get("flavors") or {}
    pyfunc = flavors.get("python_function") or {}
    packages = _pins(requirements)
    return Needs(
        python=str(pyfunc.get("python_version") or ""),
        packages=packages,
        from_code=bool(pyfunc.get("model_code_path")),
        torch="pytorch" in flavors or ("torch" in packages and not _only_sklearn(flavors)),
    )


def _only_sklearn(flavors: Mapping[str, Any]) -> bool:
    # skops opens nothing but scikit-learn's own types, unless others are named. MLflow lists
    # torch for such a model too, if it happened to be imported when the model was saved.
    told = flavors.get("sklearn") or {}
    return told.get("serialization_format") == "skops" and not told.get("skops_trusted_types")


def _pins(text: str) -> dict[str, str]:
    from packaging.utils import canonicalize_name

    found = (_PIN.match(line.strip()) for line in text.splitlines())
    return {canonicalize_name(one["name"]): one["version"] or "" for one in found if one}


def _small_files(source: str, tracking_uri: str, folder: Path) -> dict[str, str]:
    from mlflow.artifacts import download_artifacts, list_artifacts

    listed = list_artifacts(artifact_uri=source, tracking_uri=tracking_uri)
    there = {Path(one.path).name for one in listed if not one.is_dir}
    texts = {}
    for name in (_DESCRIPTION, _REQUIREMENTS, _EXAMPLE):
        if name in there or name == _DESCRIPTION:
            path = download_artifacts(
                artifact_uri=f"{source}/{name}", dst_path=str(folder), tracking_uri=tracking_uri
            )
            texts[name] = Path(path).read_text()
    return texts
