"""From a checkout to the stages of its images: pure once lock and wheel have been read."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from building.failures import BuildProblem
from building.locking import lists, pins
from building.recipes import RECIPES, Recipe, shown
from building.stages import Stage, read_folder

LABEL = "dev.headrace.version."
"""Begins the labels that tell a version."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What was read from the checkout, and what was chosen on the command line."""

    images: Path
    """The folder with a folder for each image."""
    exports: Mapping[str, str]
    """Image to its list of locked packages."""
    wheel: Path
    """Headrace's wheel."""
    base: str
    """The public image at the bottom."""
    python: str
    """Its Python's minor version: `3.12`."""
    torch: str
    """`cuda` or `cpu`."""
    torch_index: str
    """Where torch's CPU wheels are."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One image to be."""

    name: str
    """Its short name."""
    libraries: Stage
    """Everything but Headrace; seldom changes."""
    whole: Stage
    """The image that runs: the libraries, and a thin layer with Headrace."""
    versions: Mapping[str, str]
    """What it must hold, by what the lock says; the build fails if it holds anything else."""


def plan(sources: Sources) -> dict[str, Planned]:
    """All images, by name."""
    tools = Stage(
        repository="headrace/tools",
        kind="libraries",
        files=read_folder(sources.images / "tools"),
        base=sources.base,
        published=False,
    )
    planned: dict[str, Planned] = {}
    for recipe in RECIPES:
        below = planned[recipe.parent].libraries if recipe.parent else None
        planned[recipe.name] = _plan_one(recipe, sources, tools, below)
    return planned


def _plan_one(recipe: Recipe, sources: Sources, tools: Stage, below: Stage | None) -> Planned:
    libraries = Stage(
        repository=f"headrace/{recipe.name}",
        kind="libraries",
        files=library_files(recipe, sources),
        base=sources.base,
        parents={"TOOLS": tools} | ({"PARENT": below} if below else {}),
    )
    versions = expected(recipe, sources)
    record = json.dumps({"image": recipe.name, "versions": versions}, indent=1, sort_keys=True)
    whole = Stage(
        repository=f"headrace/{recipe.name}",
        kind=versions["headrace"],
        files={
            **read_folder(sources.images / "headrace"),
            "expected.json": record.encode(),
            **unpacked(sources.wheel),
        },
        base=sources.base,
        parents={"LIBRARIES": libraries},
        labels=labels(recipe.name, versions),
    )
    return Planned(name=recipe.name, libraries=libraries, whole=whole, versions=versions)


def library_files(recipe: Recipe, sources: Sources) -> dict[str, bytes]:
    """The context of an image's libraries: its folder, and its part of the lock."""
    listed = sources.exports[recipe.name]
    chosen = lists(listed, python=sources.python, torch=sources.torch, index=sources.torch_index)
    locked = {f"locked/{name}": text.encode() for name, text in chosen.items()}
    return read_folder(sources.images / recipe.name) | locked


def expected(recipe: Recipe, sources: Sources) -> dict[str, str]:
    """The versions that an image must turn out to have."""
    found = pins(sources.exports[recipe.name], sources.python)
    versions = {
        "headrace": wheel_version(sources.wheel),
        "python": sources.python,
        **{package: found[package] for package in shown(recipe.name)},
    }
    if "torch" in versions and sources.torch == "cpu":
        versions["torch"] += "+cpu"
    if "pyspark" in versions:
        versions["hadoop"] = hadoop_version(sources.images)
    return versions


def hadoop_version(images: Path) -> str:
    """The version of Hadoop whose S3 connector the Spark image carries."""
    text = (images / "spark/jars.lock").read_text(encoding="utf-8")
    if match := re.search(r"org\.apache\.hadoop:hadoop-aws:(\S+)", text):
        return match[1]
    raise BuildProblem("images/spark/jars.lock names no org.apache.hadoop:hadoop-aws.")


def labels(name: str, versions: Mapping[str, str]) -> dict[str, str]:
    """An image's labels: the usual ones of the Open Container Initiative, and the versions."""
    usual = {
        "org.opencontainers.image.title": f"headrace/{name}",
        "org.opencontainers.image.version": versions["headrace"],
        "org.opencontainers.image.licenses": "Apache-2.0",
        "dev.headrace.image": name,
    }
    return usual | {LABEL + what: version for what, version in sorted(versions.items())}


def unpacked(wheel: Path) -> dict[str, bytes]:
    """A wheel's files as part of a context; the archive around them may differ by machine."""
    with zipfile.ZipFile(wheel) as archive:
        return {f"wheel/{name}": archive.read(name) for name in archive.namelist()}


def wheel_version(wheel: Path) -> str:
    """The version in a wheel's file name."""
    return wheel.name.split("-")[1]


def python_minor(base: str, fallback: str) -> str:
    """The Python of a base image by its name, `python:3.12-slim-bookworm`, or the fallback."""
    match = re.search(r"python:(3\.\d+)", base)
    return match[1] if match else fallback
