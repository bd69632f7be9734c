"""Versions that must agree: those in a site's images, and those that are installed here."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from headrace.core.errors import EnvironmentProblem
from headrace.sites.cluster import Site

_PACKAGES = {
    "headrace": "headrace", "kfp": "kfp", "mlflow": "mlflow", "spark": "pyspark", "ray": "ray",
}  # fmt: skip
_PARTS = {"headrace": 3}
"""How many parts of a version must be the same; two unless said here: patches get along."""
_OF_ENGINES = {"spark": ("spark", "hadoop"), "ray": ("ray",)}
"""What matters only where an engine's steps run."""


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """A version that differs."""

    what: str
    """A word of the site's `versions`: `ray`."""
    theirs: str
    """The site's."""
    mine: str
    """This machine's."""

    def __str__(self) -> str:
        return f"{self.what} is {self.theirs} in the site's images and {self.mine} here"


def mine() -> dict[str, str]:
    """The versions on this machine, as a site tells its own; what is not installed is not there."""
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for word, package in _PACKAGES.items():
        if version := _installed(package):
            found[word] = version
    if hadoop := _hadoop():
        found["hadoop"] = hadoop
    return found


def check(
    theirs: Mapping[str, str], ours: Mapping[str, str], kinds: Collection[str] = tuple(_OF_ENGINES)
) -> list[Mismatch]:
    """Which versions differ, of those that both sides tell.

    Args:
        theirs: The site's `versions`.
        ours: Those of this machine.
        kinds: The kinds of steps that are to run; the other engines' versions do not matter.
    """
    foreign = {
        word for kind, words in _OF_ENGINES.items() if kind not in kinds for word in words
    }  # fmt: skip
    words = [word for word in ("python", *_PACKAGES, "hadoop") if word not in foreign]
    return [
        Mismatch(what=word, theirs=theirs[word], mine=ours[word])
        for word in words
        if word in theirs and word in ours and not _agree(word, theirs[word], ours[word])
    ]


def require(site: Site, kinds: Collection[str], *, where: str) -> None:
    """Refuse a site whose images do not fit what is installed here.

    Args:
        site: The site.
        kinds: The kinds of steps that are to run: `python`, `spark`, `ray`.
        where: The context and namespace.

    Raises:
        EnvironmentProblem: Some version differs.
    """
    found = check(site.versions, mine(), kinds)
    if found:
        raise EnvironmentProblem(
            f"The site does not fit this installation: {'; '.join(map(str, found))}.",
            where=where,
            hint=remedy(found),
        )


def remedy(found: Collection[Mismatch]) -> str:
    """How versions are brought together."""
    if any(one.what == "python" for one in found):
        theirs = next(one.theirs for one in found if one.what == "python")
        return (
            f"uv sync --python {theirs}, or build the images on another base and upgrade the site"
        )
    return (
        "install the site's versions here, or build the images from this version and upgrade the "
        "site's chart with their values"
    )


def _agree(word: str, one: str, other: str) -> bool:
    parts = _PARTS.get(word, 2)
    return _release(one)[:parts] == _release(other)[:parts]


def _release(version: str) -> list[str]:
    return re.split(r"[.+-]", version)


def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _hadoop() -> str:
    """The Hadoop in pyspark's jars, by their names: pyspark itself is not imported."""
    spec = importlib.util.find_spec("pyspark")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for jar in Path(place, "jars").glob("hadoop-client-api-*.jar"):
            return jar.stem.removeprefix("hadoop-client-api-")
    return ""
