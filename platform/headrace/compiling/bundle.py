"""The project's own code as a content-addressed bundle.

A bundle holds the pipeline's folder and whatever project modules its steps import from
elsewhere below the source root. Steps run from an unpacked bundle and never from the
working tree, so an edit in the middle of a run changes nothing of that run.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headrace.core.errors import UsageError

_LEFT_OUT = {"__pycache__", "venv", "node_modules", "mlruns"}
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
    contents: Mapping[str, bytes] = field(repr=False)
    """Each file's content by its path relative to the root, sorted. They are read once, so
    that a file that is edited or grows while a run starts is in it as it was at one moment."""

    @property
    def files(self) -> tuple[str, ...]:
        """Paths relative to the root, sorted."""
        return tuple(self.contents)

    def unpack(self, store: Path) -> Path:
        """Put the files into `store`, in a folder named for the digest, and return it.

        Another run may do the same at once: whoever renames first wins, both are right.
        """
        target = store / self.digest.removeprefix("sha256:")
        if target.is_dir():
            return target
        store.mkdir(parents=True, exist_ok=True)
        pending = Path(tempfile.mkdtemp(prefix=".pending-", dir=store))
        try:
            for name, content in self.contents.items():
                (pending / name).parent.mkdir(parents=True, exist_ok=True)
                (pending / name).write_bytes(content)
            pending.chmod(0o755)
            pending.rename(target)
        except OSError:
            if not target.is_dir():
                raise
        finally:
            shutil.rmtree(pending, ignore_errors=True)
        return target

    def zipped(self) -> bytes:
        """The files as one archive; the same files give the same bytes."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.contents.items():
                entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, content)
        return packed.getvalue()


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
    contents = {name: (root / name).read_bytes() for name in names}
    return Bundle(digest=_digest(contents), root=root, contents=contents)


def _digest(contents: Mapping[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name, content in contents.items():
        whole.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    kept: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [
            one
            for one in folders
            if one not in _LEFT_OUT
            and not one.startswith(".")
            and not one.endswith(".egg-info")
            and not _ignores_itself(Path(place) / one)
        ]
        # Hidden files are tools' and people's own, `.env` with its secrets first of all.
        kept += [
            Path(place) / one
            for one in files
            if not one.endswith((".pyc", ".pyo")) and not one.startswith(".")
        ]
    return [one for one in kept if one.is_file() and not one.is_symlink() and not _is_compiled(one)]


def _ignores_itself(folder: Path) -> bool:
    """Whether a folder is some tool's own, such as a home of ours or an environment."""
    ignore = folder / ".gitignore"
    return ignore.is_file() and ignore.read_text(errors="replace").strip() == "*"


def _is_compiled(file: Path) -> bool:
    # A pipeline compiled into its own folder must not change the digest that it carries.
    if file.suffix not in (".yaml", ".yml"):
        return False
    with file.open("rb") as start:
        return start.read(len(_COMPILED)) == _COMPILED
