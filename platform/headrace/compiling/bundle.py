"""The project's own code as a content-addressed bundle.

A bundle holds the pipeline's folder and whatever project modules its steps import from
elsewhere below the source root. Steps run from an unpacked bundle and never from the
working tree, so an edit in the middle of a run changes nothing of that run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from headrace.core.errors import UsageError

_LEFT_OUT = {"__pycache__", ".git", ".venv", "venv", "node_modules", ".headrace", ".tox"}
_LEFT_OUT |= {".mypy_cache", ".ruff_cache", ".pytest_cache", ".ipynb_checkpoints"}
_COMPILED = b"# PIPELINE DEFINITION"
LIMIT = 50 * 2**20
"""Most bytes of a bundle: code, queries and small tables, not data."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The files that make up a project's code."""

    digest: str
    """`sha256:…` over names and contents."""
    root: Path
    """The folder that stands on `sys.path`."""
    files: tuple[str, ...]
    """Paths relative to the root, sorted."""

    def unpack(self, store: Path) -> Path:
        """Put the files into `store`, in a folder named for the digest, and return it.

        Another run may do the same at once: whoever renames first wins, both are right.

        Raises:
            UsageError: The files are no longer those that the digest was made of.
        """
        target = store / self.digest.removeprefix("sha256:")
        if target.is_dir():
            return target
        store.mkdir(parents=True, exist_ok=True)
        pending = Path(tempfile.mkdtemp(prefix=".pending-", dir=store))
        try:
            for name in self.files:
                (pending / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.root / name, pending / name)
            if _digest(pending, self.files) != self.digest:
                raise FileNotFoundError
            pending.chmod(0o755)
            pending.rename(target)
        except FileNotFoundError as error:
            raise UsageError(
                "The pipeline's code was edited while it was read.",
                where=str(self.root),
                hint="run it again",
            ) from error
        except OSError:
            if not target.is_dir():
                raise
        finally:
            shutil.rmtree(pending, ignore_errors=True)
        return target


def make_bundle(root: Path, folder: Path, modules: tuple[Path, ...] = ()) -> Bundle:
    """Bundle `folder` and `modules`, all below `root`.

    Raises:
        UsageError: More than `LIMIT` bytes, with the largest files named.
    """
    found = {*_files(folder), *(one.resolve() for one in modules)}
    names = sorted(one.relative_to(root).as_posix() for one in found if one.is_relative_to(root))
    sizes = {name: (root / name).stat().st_size for name in names}
    if sum(sizes.values()) > LIMIT:
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        raise UsageError(
            f"The pipeline's folder holds {sum(sizes.values()) / 2**20:.0f} MiB; "
            f"its code may take {LIMIT / 2**20:.0f}.",
            where=[f"{root / name} ({sizes[name] / 2**20:.0f} MiB)" for name in largest],
            hint="keep data outside the pipeline's folder and pass it as an input",
        )
    return Bundle(digest=_digest(root, names), root=root, files=tuple(names))


def _digest(root: Path, names: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for name in names:
        content = hashlib.sha256((root / name).read_bytes()).hexdigest()
        whole.update(f"{name}\0{content}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    kept: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [
            one for one in folders if one not in _LEFT_OUT and not one.endswith(".egg-info")
        ]
        kept += [Path(place) / one for one in files if not one.endswith((".pyc", ".pyo"))]
    return [one for one in kept if one.is_file() and not one.is_symlink() and not _is_compiled(one)]


def _is_compiled(file: Path) -> bool:
    # A pipeline compiled into its own folder must not change the digest that it carries.
    if file.suffix not in (".yaml", ".yml"):
        return False
    with file.open("rb") as start:
        return start.read(len(_COMPILED)) == _COMPILED
