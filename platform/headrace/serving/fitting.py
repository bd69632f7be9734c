"""Which of a site's images can serve a version, and what in it differs from what it needs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.core.errors import EnvironmentProblem
from headrace.registry.needs import Needs, Servable
from headrace.sites.cluster import CONFIG_MAP, Site

_PYTHON = "python"


@dataclass(frozen=True, kw_only=True)
class Fit:
    """An image for a version."""

    kind: str
    """The image's kind at the site: `python` or `serve`."""
    image: str
    """Its reference."""
    notes: tuple[str, ...]
    """Differences that the model will most likely bear."""


def fit(version: Servable, site: Site) -> Fit:
    """The image to serve a version with: the small one, unless the model needs torch.

    Raises:
        EnvironmentProblem: The site has no such image, or the model cannot be opened there:
            another minor version of Python, or another major version of a package.
    """
    kind = "serve" if version.needs.torch else _PYTHON
    image = site.images.get(kind, "")
    where = f"ConfigMap {CONFIG_MAP}"
    if not image:
        raise EnvironmentProblem(
            f"The site names no image {kind!r}, which {version.uri} needs.",
            where=where,
            hint=f"build it with `make images`, and name it as images.{kind} of the site",
        )
    hurdles, notes = differences(version.needs, site.versions)
    if hurdles:
        raise EnvironmentProblem(
            f"{version.uri} cannot be opened in the site's image: {'; '.join(hurdles)}.",
            where=[image, where],
            hint="train it on the site, or with the versions that the site's images hold",
        )
    return Fit(kind=kind, image=image, notes=tuple(notes))


def differences(needs: Needs, held: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What keeps a model from being opened, and what is merely worth knowing.

    Args:
        needs: What the model was saved with.
        held: The versions in the image, by name; of the rest nothing is known.
    """
    hurdles: list[str] = []
    notes: list[str] = []
    for name, saved in {_PYTHON: needs.python, **needs.packages}.items():
        there = held.get(name, "")
        if not saved or not there or _minor(saved) == _minor(there):
            continue
        told = f"saved with {name} {saved}, which is {there} there"
        pickled = name == _PYTHON and not needs.from_code
        other_major = name != _PYTHON and _major(saved) != _major(there)
        (hurdles if pickled or other_major else notes).append(told)
    return hurdles, notes


def _major(version: str) -> str:
    return version.partition(".")[0]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
