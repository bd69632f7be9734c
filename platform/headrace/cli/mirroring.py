"""What has to be brought into a cluster without the internet, from the lists that the chart, the
images and the installation themselves use.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from headrace.cli.calling import ask, of_the_images
from headrace.cli.charts import OtherChart, folder_digest, other_charts
from headrace.cli.installing import IMAGES, find_chart
from headrace.cli.options import shown
from headrace.core.errors import EnvironmentProblem, UsageError

KINDS = ("image", "chart", "jar", "wheel", "deb")
"""In the order in which they are listed; `deb` is a package of Debian's."""
NOT_ASKED = "not asked"
NOT_PUSHED = "in no registry yet: make images REGISTRY=..."


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing to bring over."""

    kind: str
    """One of `KINDS`."""
    name: str
    """An image's name, a jar's coordinates, a file's name."""
    version: str = ""
    """A chart's version; all others have it in their name."""
    digest: str = ""
    """`sha256:...`; of our own chart that of its files, see `folder_digest`. Empty if unknown."""
    size: int | None = None
    """Bytes, where the lock says them."""
    url: str = ""
    """Where the file is, if that is known."""
    path: str = ""
    """What it is called behind a mirror's name."""
    made: str = ""
    """Of an image of ours: which one it is, such as `python`."""
    source: str = ""
    """A chart's repository or folder, or the list in the checkout that names it."""
    used_by: tuple[str, ...] = ()
    """What takes it: values of the chart, charts, images."""
    why: str = ""
    """Why its digest is not known."""

    @property
    def missing(self) -> bool:
        """Whether there ought to be a digest."""
        return not self.digest and self.kind != "deb"

    @property
    def unpushed(self) -> bool:
        """Whether it is one of our images that no registry has."""
        return self.why == NOT_PUSHED


def everything(
    values: Sequence[str] = (),
    *,
    kinds: Sequence[str] = KINDS,
    insecure: Sequence[str] = (),
    offline: bool = False,
) -> list[Item]:
    """All that a site takes, with digests.

    Args:
        values: Files of values over the chart's own, a later one wins.
        kinds: What is wanted of it.
        insecure: Registries of plain HTTP.
        offline: Ask neither registries nor repositories.

    Raises:
        UsageError: A file of values cannot be read.
        EnvironmentProblem: This is no checkout, or its lists cannot be read.
    """
    listed = json.loads(ask([sys.executable, str(of_the_images("build.py")), "--list"]))
    found = [*images(listed, settings(values)), *_parts(listed)]
    if "chart" in kinds:
        found += charts(offline=offline)
    wanted = [one for kind in KINDS for one in found if one.kind == kind and kind in kinds]
    return wanted if offline else with_digests(wanted, insecure=insecure)


def settings(values: Sequence[str]) -> dict[str, dict[str, str]]:
    """The images that values name: `images` and `otherImages`, as Helm would merge them."""
    built = [IMAGES] if IMAGES.exists() else []
    files = [find_chart() / "values.yaml", *built, *map(Path, values)]
    merged: dict[str, dict[str, str]] = {"images": {}, "otherImages": {}}
    for file in files:
        said = _read(file)
        for name, known in merged.items():
            known.update(_mapping(said.get(name), of=name, file=file))
    return {
        name: {key: str(one) for key, one in known.items() if one} for name, known in merged.items()
    }


def images(
    listed: Sequence[Mapping[str, Any]], named: Mapping[str, Mapping[str, str]]
) -> Iterator[Item]:
    """The base, our own as they have been built, others' in our chart and in others' charts."""
    base = [one for one in listed if one["kind"] == "image" and not one["made"]]
    made = {one["made"]: one for one in listed if one["made"]}
    for one in base:
        yield _image(one["name"], used_by=[f"base of {', '.join(one['used_by'])}"])
    for kind in dict.fromkeys([*made, *named["images"]]):
        name = named["images"].get(kind) or made[kind]["name"]
        local = kind not in named["images"] or name.startswith("localhost/")
        # Ours are called so wherever they are pushed to.
        path = f"headrace/{name.rpartition('/')[2]}" if kind in made else name
        why = NOT_PUSHED if local else NOT_ASKED
        yield replace(_image(name, used_by=[kind], why=why), path=path, made=kind)
    for value, name in named["otherImages"].items():
        yield _image(name, used_by=[value])
    for chart in other_charts().values():
        yield _image(f"{chart.image}:{chart.tag}", used_by=[chart.name])


def charts(*, offline: bool) -> Iterator[Item]:
    """Our own chart, and others' that are installed with it."""
    own = find_chart()
    said = _read(own / "Chart.yaml")
    yield Item(
        kind="chart",
        name=said["name"],
        version=str(said["version"]),
        digest=folder_digest(own),
        source=str(shown(own)),
    )
    with ThreadPoolExecutor() as pool:
        yield from pool.map(lambda one: _chart(one, offline=offline), other_charts().values())


def with_digests(items: Iterable[Item], *, insecure: Sequence[str]) -> list[Item]:
    """The same, with what registries tell of images without a digest."""
    items = list(items)
    images_ = [one for one in items if one.kind == "image"]
    unknown = [one.name for one in images_ if not one.digest and not one.unpushed]
    if not unknown:
        return items
    flags = [part for host in insecure for part in ("--insecure", host)]
    said = ask(
        [sys.executable, str(of_the_images("digests.py")), *flags, *unknown],
        hint="--offline leaves registries alone",
    )
    told: dict[str, dict[str, str]] = json.loads(said)
    return [_told(one, told.get(one.name)) for one in items]


def _told(item: Item, said: Mapping[str, str] | None) -> Item:
    if said is None:
        return item
    return replace(item, digest=said.get("digest", ""), why=said.get("why", ""))


def _image(name: str, *, used_by: Sequence[str], why: str = NOT_ASKED) -> Item:
    digest = name.partition("@")[2]
    return Item(
        kind="image",
        name=name,
        digest=digest,
        path=name,
        used_by=tuple(used_by),
        why="" if digest else why,
    )


def _chart(chart: OtherChart, *, offline: bool) -> Item:
    why = NOT_ASKED
    if not offline:
        try:
            chart, why = chart.found(), ""
        except EnvironmentProblem as problem:
            why = problem.what
    return Item(
        kind="chart",
        name=chart.name,
        version=chart.version,
        digest=chart.digest,
        url=chart.url,
        source=chart.repository,
        why=why,
    )


def _parts(listed: Sequence[Mapping[str, Any]]) -> Iterator[Item]:
    for one in listed:
        if one["kind"] != "image":
            yield Item(**{**one, "used_by": tuple(one["used_by"])})


def _mapping(said: Any, *, of: str, file: Path) -> dict[str, Any]:
    if said is not None and not isinstance(said, dict):
        raise UsageError(f"{file} says something of {of} that is no image.", hint="NAME: IMAGE")
    return said or {}


def _read(path: Path) -> dict[str, Any]:
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{path} is no YAML.", where=str(error)) from None
    if not isinstance(said, dict):
        raise UsageError(f"{path} holds no values.", hint="write NAME: VALUE, as in values.yaml")
    return said
