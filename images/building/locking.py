"""What the project's lock says: a list of packages for each image, pinned and with hashes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from building.failures import BuildProblem

CUDA_ONLY = ("nvidia-", "cuda-", "triton")
"""How the packages begin that only torch's CUDA wheel needs."""

LIST = "requirements.txt"
FILES = "pylock.toml"
"""What an export looks like: a list to install from, or the same with every file's URL and size."""

PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")
FORK = re.compile(r"python_full_version (?P<sign><|>=) '(?P<minor>[0-9.]+)'")
"""How the lock tells the versions of a package apart that different Pythons get."""


def find_uv(root: Path) -> str:
    """The uv to read the lock with: the one on PATH, else the checkout's own."""
    if found := shutil.which("uv") or shutil.which(str(root / ".tools/bin/uv")):
        return found
    raise BuildProblem("uv is not here, and the lock is read with it.", hint="pip install uv")


def export(
    uv: str, root: Path, *, extras: Iterable[str], groups: Iterable[str], form: str = LIST
) -> str:
    """The locked packages of some extras and groups, with hashes, without Headrace itself."""
    chosen = [part for extra in extras for part in ("--extra", extra)]
    chosen += [part for group in groups for part in ("--group", group)]
    return _run(
        [
            uv, "export", "--quiet", "--frozen", "--no-emit-project", "--no-default-groups",
            "--no-annotate", "--no-header", "--format", form, *chosen,
        ],
        root,
    )  # fmt: skip


def build_wheel(uv: str, root: Path, folder: Path) -> Path:
    """Headrace's wheel, built from the checkout as it is now."""
    _run([uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(root)], root)
    return next(folder.glob("*.whl"))


def entries(listed: str) -> list[str]:
    """The packages of a list, each with its hashes on the lines that belong to it."""
    joined = re.sub(r"\\\n\s*", "\\\n    ", listed)
    found = re.split(r"\n(?=\S)", joined.strip())
    return [entry for entry in found if entry and not entry.startswith("#")]


def pins(listed: str, python: str) -> dict[str, str]:
    """Package to version, as a Python minor like `3.12` gets them.

    Raises:
        BuildProblem: A package is not pinned, or has no hash.
    """
    found: dict[str, str] = {}
    for entry in entries(listed):
        match = PIN.match(entry)
        if match is None or "--hash=" not in entry:
            raise BuildProblem(
                f"The lock leaves {entry.split()[0]} open.", hint="uv lock, and look at its source"
            )
        if _is_for(entry, python):
            found[match["name"]] = match["version"]
    return found


def without_cuda(listed: str, python: str, index: str) -> dict[str, str]:
    """The same packages with torch's CPU wheel: one list from the lock, one from torch's index.

    The CPU wheel's version is the locked one; its hash is not in the lock, which knows PyPI's
    files alone.
    """
    kept = [entry for entry in entries(listed) if not entry.startswith((*CUDA_ONLY, "torch=="))]
    torch = f"torch=={pins(listed, python)['torch']}+cpu"
    return {
        "1-locked.txt": "\n".join(kept) + "\n",
        "2-torch.txt": f"--index-url {index}\n{torch}\n",
    }


def lists(listed: str, *, python: str, torch: str, index: str) -> Mapping[str, str]:
    """The files that are installed in turn: file name to text.

    Args:
        listed: An image's packages.
        python: Its Python's minor version.
        torch: `cuda` or `cpu`.
        index: Where torch's CPU wheels are.
    """
    if torch == "cpu" and "torch" in pins(listed, python):
        return without_cuda(listed, python, index)
    return {"1-locked.txt": listed}


def _is_for(entry: str, python: str) -> bool:
    fork = FORK.search(entry.partition("--hash=")[0])
    if fork is None:
        return True
    older = _numbers(python) < _numbers(fork["minor"])
    return older if fork["sign"] == "<" else not older


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _run(command: list[str], root: Path) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise BuildProblem(f"{' '.join(command[:2])} failed:\n{done.stderr.strip()}")
    return done.stdout
