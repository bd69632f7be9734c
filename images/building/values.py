"""What a site has to know of its images: their names as pods pull them, and what is in them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from building.planning import Planned

VERSIONS = {
    "headrace": "headrace",
    "python": "python",
    "kfp": "kfp",
    "mlflow": "mlflow",
    "spark": "pyspark",
    "hadoop": "hadoop",
    "ray": "ray",
    "torch": "torch",
}
"""A site's word for a version, and the image's."""


def values(planned: Mapping[str, Planned], *, present: list[str], prefix: str) -> str:
    """`images` and `versions` for a site's settings, as YAML.

    Args:
        planned: All images.
        present: Those that the registry has; the others are left out.
        prefix: The registry as pods name it.
    """
    found = {what: version for one in planned.values() for what, version in one.versions.items()}
    lines = ["images:"]
    lines += [f"  {name}: {quoted(planned[name].whole.reference(prefix))}" for name in present]
    lines += ["versions:"]
    lines += [f"  {word}: {quoted(found[name])}" for word, name in VERSIONS.items()]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A YAML string; without quotes `3.10` would be a number."""
    return json.dumps(text)
