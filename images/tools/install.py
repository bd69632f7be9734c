"""Installs locked packages while an image is built, then makes them small and quick to import.

Runs inside of a build, with the base image's Python and without any package of its own.
"""

from __future__ import annotations

import argparse
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

VENV = Path("/opt/venv")
UV = "/opt/tools/uv/bin/uv"
BACKEND = Path("/opt/tools/backend.txt")
"""Pins what builds a package that has no wheel."""

USELESS = ("tests", "test")
"""Folders that nothing imports at run time."""
NEVER_STRIPPED = ("mlflow", "ray", "torch", "pyspark")
"""Packages that are left as they are: they do import from folders of such names."""


def main() -> None:
    """Install each list in the folder, or compile the standard library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="holds *.txt, one list each")
    parser.add_argument("--stdlib", action="store_true", help="compile Python's own library")
    args = parser.parse_args()
    if args.stdlib:
        compile_all(Path(sysconfig.get_path("stdlib")))
        return
    if not VENV.exists():
        uv("venv", "--quiet", "--no-project", "--python", sys.executable, str(VENV))
    for listed in sorted(args.folder.glob("*.txt")):
        install(listed)
    strip(site_packages())
    compile_all(site_packages())


def install(listed: Path) -> None:
    """Install one list. With hashes in it, each package must have one."""
    strict = ["--require-hashes"] if "--hash=" in listed.read_text() else []
    uv(
        "pip", "install", "--no-deps", "--no-compile-bytecode",
        "--build-constraints", str(BACKEND), "--python", str(VENV), *strict, "-r", str(listed),
    )  # fmt: skip


def uv(*arguments: str) -> None:
    """Run uv, which leaves nothing behind; its own message is the one to read when it fails."""
    with tempfile.TemporaryDirectory() as scratch:
        environ = os.environ | {"UV_NO_CACHE": "1", "TMPDIR": scratch}
        code = subprocess.run([UV, *arguments], env=environ).returncode
    if code:
        sys.exit(code)


def site_packages() -> Path:
    """Where packages lie in the environment."""
    return next(VENV.glob("lib/python3.*/site-packages"))


def strip(packages: Path) -> None:
    """Remove tests, and the static libraries that only a compiler would want."""
    for folder, names, files in os.walk(packages):
        here = Path(folder)
        if here.relative_to(packages).parts[:1] not in [(name,) for name in NEVER_STRIPPED]:
            for name in set(names) & set(USELESS):
                shutil.rmtree(here / name)
                names.remove(name)
        for name in files:
            if name.endswith(".a"):
                (here / name).unlink()


def compile_all(root: Path) -> None:
    """Compile every module below a folder that has no bytecode yet, on all cores."""
    with ProcessPoolExecutor() as pool:
        list(pool.map(compile_one, uncompiled(root), chunksize=64))


def uncompiled(root: Path) -> Iterator[Path]:
    """Modules without bytecode; what lower layers compiled is not written again."""
    for source in sorted(root.rglob("*.py")):
        cached = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        if not cached.exists():
            yield source


def compile_one(source: Path) -> None:
    """Compile one module; a template that is no Python is left alone.

    The bytecode holds no time of its source: times change when an image is built, and bytecode
    that looks old would be compiled again at each import. (PYTHONHASHSEED is set for this as
    well: the order within a set constant follows it.)
    """
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), quiet=2, invalidation_mode=mode)


if __name__ == "__main__":
    main()
