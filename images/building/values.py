"""What a site has to know of its images: their names as pods pull them, and what is in them."""

from __future__ import annotations

import json
import re
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


def values(planned: Mapping[str, Planned], references: Mapping[str, str]) -> str:
    """`images` and `versions` for a site's settings, as YAML.

    Args:
        planned: All images.
        references: Image to its name as pods pull it.
    """
    found = {what: version for one in planned.values() for what, version in one.versions.items()}
    lines = ["images:"]
    lines += [f"  {name}: {quoted(references[name])}" for name in planned if name in references]
    lines += ["versions:"]
    lines += [f"  {word}: {quoted(found[name])}" for word, name in VERSIONS.items()]
    return "\n".join(lines) + "\n"


def known(text: str) -> dict[str, str]:
    """The images that a values file names already: short name to reference."""
    listed = re.search(r"^images:\n((?:  .*\n)*)", text, re.MULTILINE)
    return dict(re.findall(r'  (\w+): "(.+)"', listed[1])) if listed else {}


def quoted(text: str) -> str:
    """A YAML string; without quotes `3.10` would be a number."""
    return json.dumps(text)
