"""Which of a step's outputs MLflow's pages can show: plots, reports, classification metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from headrace.sites.journal import Event

LARGEST_BYTES = 10 * 1024 * 1024
_MOST_FILES = 20
_ENDINGS = {"system.HTML": ".html", "system.Markdown": ".md"}
_IMAGES = {b"\x89PNG\r\n\x1a\n": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif"}
_SVG_START = (b"<svg", b"<?xml")


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """Something to be shown beside a run."""

    name: str
    """File name for it, with the ending that makes MLflow's pages show it."""
    path: Path | None
    """The file; None when `content` holds it."""
    content: bytes
    """The content, when there is no file."""


def attachments(name: str, artifact: Event) -> Iterator[Attachment]:
    """What to show of an output artifact: nothing, a file, or several.

    Args:
        name: The output's name.
        artifact: As the run's journal describes it.
    """
    kind = str(artifact.get("type", "")).partition("@")[0]
    if kind == "system.ClassificationMetrics":
        yield from _classification(name, artifact.get("metadata") or {})
        return
    path = local_path(str(artifact.get("uri") or ""))
    if path is None or not path.exists():
        return
    if kind in _ENDINGS:
        yield from _file(name, path, _ENDINGS[kind])
    elif kind == "system.Artifact" and path.is_dir():
        for file in sorted(path.iterdir())[:_MOST_FILES]:
            yield from _file(f"{name}/{file.stem}", file, _image_ending(file))
    elif kind == "system.Artifact":
        yield from _file(name, path, _image_ending(path))


def local_path(uri: str) -> Path | None:
    """The path that a URI or plain path means on this machine; None when it is elsewhere."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(uri) if uri and not parts.scheme else None


def _file(name: str, path: Path, ending: str) -> Iterator[Attachment]:
    if ending and path.is_file() and path.stat().st_size <= LARGEST_BYTES:
        yield Attachment(name=f"{name}{ending}", path=path, content=b"")


def _image_ending(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        start = file.read(256)
    for magic, ending in _IMAGES.items():
        if start.startswith(magic):
            return ending
    return ".svg" if start.lstrip().startswith(_SVG_START) and b"<svg" in start else ""


def _classification(name: str, metadata: Event) -> Iterator[Attachment]:
    if not metadata:
        return
    content = json.dumps(metadata, indent=2, default=str).encode()
    yield Attachment(name=f"{name}.json", path=None, content=content)
    from headrace.registry.plots import classification_plot  # imports matplotlib

    plot = classification_plot(metadata)
    if plot:
        yield Attachment(name=f"{name}.png", path=None, content=plot)
