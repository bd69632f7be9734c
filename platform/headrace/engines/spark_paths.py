"""Artifacts in a Spark step on a cluster: their paths are URIs, which Spark reads by itself."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_STORE, _SPARK = "s3://", "s3a://"
_MOUNTED = "/s3/"
"""How KFP's own paths of a store's objects begin."""


def spark_uri(uri: str) -> str:
    """A store's URI as Spark reads it: `s3a://BUCKET/KEY`. Other texts stay as they are."""
    return _SPARK + uri[len(_STORE) :] if uri.startswith(_STORE) else uri


def store_uri(uri: str) -> str:
    """The store's URI of what Spark reads; other texts stay as they are."""
    return _STORE + uri[len(_SPARK) :] if uri.startswith(_SPARK) else uri


def for_spark(arguments: Mapping[str, Any], annotations: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with those that are an artifact's path alone (`InputPath`) as URIs."""
    return {
        name: spark_uri(f"{_STORE}{one.removeprefix(_MOUNTED)}")
        if isinstance(one, str) and one.startswith(_MOUNTED) and _is_path(annotations.get(name))
        else one
        for name, one in arguments.items()
    }


@contextmanager
def read_by_spark(arguments: Mapping[str, Any]) -> Iterator[None]:
    """Let the artifacts among `arguments` have paths that Spark reads, for as long as this lasts.

    A list of artifacts counts as well. What the function itself sets on an artifact stays.
    """
    chosen = [one for one in _artifacts(arguments.values()) if one.uri.startswith(_STORE)]
    given = [spark_uri(one.uri) for one in chosen]
    for artifact, path in zip(chosen, given, strict=True):
        artifact.custom_path = path
    try:
        yield
    finally:
        for artifact, path in zip(chosen, given, strict=True):
            if artifact.custom_path == path:
                artifact.custom_path = ""
            artifact.uri = store_uri(artifact.uri)


def code_root(module: str, file: str) -> Path:
    """The folder on `sys.path` that a module was imported from.

    >>> code_root("flights.features", "/work/code/ab12/flights/features.py")
    PosixPath('/work/code/ab12')
    """
    names = module.split(".")
    path = Path(file)
    inside = path.parent if path.stem == "__init__" else path.with_suffix("")
    return inside.parents[len(names) - 1]


def pack(folder: Path, archive: Path) -> Path:
    """Put every file of a folder into an archive, for the executors."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                with (
                    packed.open(zipfile.ZipInfo(file.relative_to(folder).as_posix()), "w") as out,
                    file.open("rb") as content,
                ):
                    shutil.copyfileobj(content, out)
    return archive


def _artifacts(values: Iterable[Any]) -> Iterator[Any]:
    for one in values:
        if isinstance(one, list):
            yield from _artifacts(one)
        elif hasattr(one, "uri") and hasattr(one, "custom_path"):
            yield one


def _is_path(annotation: Any) -> bool:
    """Whether KFP hands over an artifact's path: its type is then `system.Dataset@0.0.1`."""
    return "@" in str(getattr(annotation, "type", ""))
