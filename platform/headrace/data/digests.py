"""Digests of content on disk: the same bytes under the same names have the same digest."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_BLOCK = 2**20


def content_digest(path: Path) -> str | None:
    """The digest of a file, or of a folder with everything in it; None if nothing is there."""
    if path.is_file():
        return f"sha256:{file_digest(path)}"
    if not path.is_dir():
        return None
    files = sorted(Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(file_digest, files))
    whole = hashlib.sha256()
    for file, digest in zip(files, digests, strict=True):
        whole.update(f"{file.relative_to(path).as_posix()}\0{digest}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def file_digest(path: Path) -> str:
    """A file's SHA-256 in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
