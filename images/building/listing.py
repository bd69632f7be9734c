"""Everything that the images are made of and called, from the lists that they are built with."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from building.failures import BuildProblem
from building.locking import CUDA_ONLY, entries, pins
from building.planning import Planned, Sources
from building.references import parse
from building.wheels import MACHINES, chosen, file_name


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing that has to be fetched, or that is made of such things."""

    kind: str
    """`image`, `jar`, `wheel`, or `deb` for a package of Debian's."""
    name: str
    """An image's or a file's name; of what has no file's name, package and version."""
    digest: str = ""
    """`sha256:...`; empty where no list knows it."""
    size: int | None = None
    """Bytes, where a list says them."""
    url: str = ""
    """Where it is; empty where that is found out when it is fetched."""
    made: str = ""
    """Of an image that is built here: which one it is, such as `python`."""
    path: str = ""
    """What it is called behind a mirror's name."""
    source: str = ""
    """The list that it comes from, below the checkout."""
    used_by: list[str] = field(default_factory=list)
    """The images that it goes into."""
    why: str = ""
    """Why there is no digest, where that is nothing that anybody could ask for."""


def parts(
    sources: Sources, locks: Mapping[str, str], planned: Mapping[str, Planned], registry: str
) -> list[dict[str, Any]]:
    """All of it, for a program to read: images, jars, wheels, Debian's packages.

    Args:
        sources: What the images are planned from.
        locks: Image to its part of the lock, as `pylock.toml` has it.
        planned: The images.
        registry: What their names begin with; empty for nothing.
    """
    everything = list(planned)
    name = parse(sources.base).name
    base = Part(kind="image", name=name, path=name, used_by=everything)
    own = [_own(one, registry) for one in planned.values()]
    found = [base, *own, *jars(sources.images), *wheels(sources, locks), *debs(sources.images)]
    return [asdict(one) for one in found]


def jars(images: Path) -> list[Part]:
    """The jars, from the list and by the program that the Spark image is built with."""
    program = _load(images / "spark/fetch-jars.py")
    maven = _argument(images / "spark/Dockerfile", "MAVEN").rstrip("/")
    return [
        Part(
            kind="jar",
            name=coordinates,
            digest=f"sha256:{digest}",
            url=f"{maven}/{program.jar_path(coordinates)}",
            path=program.jar_path(coordinates),
            source="images/spark/jars.lock",
            used_by=["spark"],
        )
        for digest, coordinates in program.parse(_read(images / "spark/jars.lock"))
    ]


def wheels(sources: Sources, locks: Mapping[str, str]) -> list[Part]:
    """The files that are installed in the images and that install them; each stands once."""
    found: dict[str, Part] = {}
    for image, text in locks.items():
        for package in tomllib.loads(text)["packages"]:
            for one in _files(package, sources):
                found.setdefault(one.name, one).used_by.append(image)
    return [*sorted(found.values(), key=lambda one: one.name.lower()), *tools(sources)]


def tools(sources: Sources) -> list[Part]:
    """Installer and build backend: their lists say hashes, but not the files' names."""
    return [
        Part(
            kind="wheel",
            name="==".join(next(iter(pins(entry, sources.python).items()))),
            digest=f"sha256:{digest}",
            source=f"images/tools/{listed}",
            used_by=["tools"],
        )
        for listed in ("uv.txt", "backend.txt")
        for entry in entries(_read(sources.images / "tools" / listed))
        for digest in re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)
    ]


def debs(images: Path) -> list[Part]:
    """What Debian's mirror is asked for."""
    return [
        Part(
            kind="deb",
            name=_argument(images / "spark/Dockerfile", "JRE"),
            source="images/spark/Dockerfile",
            used_by=["spark"],
            why="as the base image's mirror has it on the day of a build; apt checks its signature",
        )
    ]


def _own(planned: Planned, registry: str) -> Part:
    repository = f"{planned.whole.repository}:{planned.whole.tag}"
    name = f"{registry}/{repository}" if registry else repository
    return Part(kind="image", name=name, path=repository, made=planned.name)


def _files(package: Mapping[str, Any], sources: Sources) -> Iterator[Part]:
    """A package's file for each machine; usually one serves both."""
    if sources.torch == "cpu" and package["name"].startswith(CUDA_ONLY):
        return
    if sources.torch == "cpu" and package["name"] == "torch":
        yield Part(
            kind="wheel",
            name=f"torch=={package['version']}+cpu",
            url=sources.torch_index,
            why="the lock knows PyPI's files alone",
        )
        return
    for file in _unique(
        chosen(package, python=sources.python, machine=machine) for machine in MACHINES
    ):
        yield Part(
            kind="wheel",
            name=file_name(file),
            digest=f"sha256:{file['hashes']['sha256']}",
            size=file.get("size"),
            url=file["url"],
            path=file_name(file),
            source="uv.lock",
        )


def _unique(files: Iterable[Mapping[str, Any] | None]) -> list[Mapping[str, Any]]:
    return list({file_name(file): file for file in files if file is not None}.values())


def _load(path: Path) -> ModuleType:
    """A program of an image's; it has to stand alone there and so is no module of ours."""
    spec = importlib.util.spec_from_file_location(path.stem.replace("-", "_"), path)
    if spec is None or spec.loader is None:
        raise BuildProblem(f"{path} is no program.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _argument(dockerfile: Path, name: str) -> str:
    """What a Dockerfile takes for a build argument unless told otherwise."""
    if match := re.search(rf"^ARG {name}=(\S+)$", _read(dockerfile), re.MULTILINE):
        return match[1]
    raise BuildProblem(f"{dockerfile} has no argument {name} with a default.")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
