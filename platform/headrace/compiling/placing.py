"""Puts a site's images in the place of the ones that a compiled pipeline names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from headrace.compiling.pipeline import Compiled
from headrace.core.errors import EnvironmentProblem

_OURS = re.compile(r"headrace/([a-z]+)")


def for_site(compiled: Compiled, images: Mapping[str, str]) -> str:
    """The pipeline's YAML with the site's images.

    Only the images of Headrace's own kinds are changed, and only where they stand as an
    executor's image: every other character stays what it is.

    Args:
        compiled: The pipeline.
        images: The site's image of each kind: `python`, `spark`, `ray`.

    Raises:
        EnvironmentProblem: The pipeline wants a kind that the site has no image for.
    """
    text = compiled.text
    for start, end, kind in sorted(set(_places(text)), reverse=True):
        if kind not in images:
            raise EnvironmentProblem(
                f"The site has no image for {kind} steps.",
                where=f"pipeline {compiled.name}, image headrace/{kind}",
                hint=f"the site has: {', '.join(sorted(images)) or 'none'}; "
                "set the others in the chart's values under `images`",
            )
        text = text[:start] + json.dumps(images[kind]) + text[end:]
    return text


def _places(text: str) -> Iterator[tuple[int, int, str]]:
    """Where the text names an image of ours: begin and end, and the image's kind."""
    begins = [0]
    for line in text.splitlines(keepends=True):
        begins.append(begins[-1] + len(line))
    for document in yaml.compose_all(text, Loader=yaml.CSafeLoader):
        executors = _at(document, "deploymentSpec", "executors")
        for _, executor in executors.value if executors else ():
            image = _at(executor, "container", "image")
            ours = _OURS.fullmatch(image.value) if image else None
            if ours:
                start, end = image.start_mark, image.end_mark
                yield begins[start.line] + start.column, begins[end.line] + end.column, ours[1]


def _at(node: Any, *keys: str) -> Any:
    """The node below a path of keys, or None."""
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        node = next((value for name, value in pairs if name.value == key), None)
    return node
