"""The project's code inside a pod: the bundle that a digest names, fetched from the store."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from headrace.core.errors import EnvironmentProblem
from headrace.data.store import Store

ROOT = Path("/work/code")
"""Where bundles lie in a pod, a folder each."""


def uri_of(store: Store, digest: str) -> str:
    """Where the store keeps a bundle."""
    return store.uri("code", f"{digest.removeprefix('sha256:')}.zip")


def fetch(store: Store, digest: str, root: Path = ROOT) -> Path:
    """The folder with a bundle's files, fetched unless it is there.

    Args:
        store: The site's store.
        digest: `sha256:…` of the bundle.
        root: The folder that holds all bundles.

    Raises:
        EnvironmentProblem: The store does not have it.
    """
    target = root / digest.removeprefix("sha256:")
    if target.is_dir():
        return target
    uri = uri_of(store, digest)
    packed = store.read(uri)
    if packed is None:
        raise EnvironmentProblem(
            f"The store does not have the code {digest[:19]}….",
            where=uri,
            hint="`headrace compile PIPELINE --on CONTEXT` puts it there, `headrace run` as well",
        )
    root.mkdir(parents=True, exist_ok=True)
    pending = Path(tempfile.mkdtemp(prefix=".pending-", dir=root))
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            archive.extractall(pending)
        pending.chmod(0o755)
        pending.rename(target)
    except OSError:
        if not target.is_dir():  # else another process of this pod was quicker
            raise
    finally:
        shutil.rmtree(pending, ignore_errors=True)
    return target


def enter(store: Store, digest: str) -> Path:
    """Fetch a bundle and put it first on `sys.path`."""
    folder = fetch(store, digest)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return folder
