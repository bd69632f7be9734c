"""Which images there are, how they stand on one another, and what each takes from the lock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One image: a folder with a Dockerfile, and a selection of the lock."""

    name: str
    """The folder's name, and the image's after `headrace/`."""
    extras: tuple[str, ...]
    """Headrace's extras whose packages are in it; a child has its parent's too."""
    parent: str | None = None
    """The image whose libraries it stands on; None for the base image."""
    shows: tuple[str, ...] = ()
    """Packages whose versions the image tells in its labels, besides its parent's."""


RECIPES: tuple[Recipe, ...] = (
    Recipe(
        name="python",
        extras=("serve",),
        shows=("kfp", "mlflow", "scikit-learn", "pandas", "numpy", "pyarrow", "obstore"),
    ),
    Recipe(name="spark", parent="python", extras=("serve", "spark"), shows=("pyspark",)),
    Recipe(name="serve", parent="python", extras=("serve", "torch"), shows=("torch",)),
    Recipe(name="ray", parent="serve", extras=("serve", "torch", "ray"), shows=("ray",)),
)
"""In an order in which they can be built."""

BY_NAME = {recipe.name: recipe for recipe in RECIPES}


def lineage(name: str) -> list[Recipe]:
    """An image's recipe and those it stands on, the lowest first."""
    recipe = BY_NAME[name]
    below = lineage(recipe.parent) if recipe.parent else []
    return [*below, recipe]


def shown(name: str) -> tuple[str, ...]:
    """The packages whose versions an image tells, its parents' first."""
    return tuple(package for recipe in lineage(name) for package in recipe.shows)
