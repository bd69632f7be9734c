"""The images' build lies beside the platform, not within it."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"

# Before any test module is collected, which imports from there.
sys.path.insert(0, str(IMAGES))

HASH = "--hash=sha256:" + "0" * 64


def listed(*packages: str) -> str:
    """A list of packages as `uv export` writes it."""
    return "".join(f"{package} \\\n    {HASH}\n" for package in packages)


EXPORTS = {
    "python": (
        "kfp==2.17.0", "mlflow==3.17.2", "numpy==2.4.6 ; python_full_version < '3.12'",
        "numpy==2.5.5 ; python_full_version >= '3.12'", "obstore==0.12.1", "pandas==3.1.1",
        "pyarrow==25.0.1", "scikit-learn==1.9.1",
    )
}  # fmt: skip
EXPORTS["spark"] = (*EXPORTS["python"], "pyspark==4.3.0")
EXPORTS["serve"] = (
    *EXPORTS["python"], "nvidia-nccl-cu13==2.30.7 ; sys_platform == 'linux'", "torch==2.15.0",
    "triton==3.9.0 ; sys_platform == 'linux'",
)  # fmt: skip
EXPORTS["ray"] = (*EXPORTS["serve"], "ray==2.60.0")


def make_wheel(folder: Path, **files: str) -> Path:
    """A wheel of Headrace with a few files."""
    path = folder / "headrace-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {"headrace/__init__.py": "", **files}.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def sources(tmp_path):
    """What a plan is made from: the real images, a small lock and a small wheel."""
    from building.planning import Sources

    shutil.copytree(IMAGES, tmp_path / "images", ignore=shutil.ignore_patterns("__pycache__"))
    return Sources(
        images=tmp_path / "images",
        exports={name: listed(*packages) for name, packages in EXPORTS.items()},
        wheel=make_wheel(tmp_path),
        base="python:3.12-slim-bookworm",
        python="3.12",
        torch="cuda",
        torch_index="https://download.pytorch.org/whl/cpu",
    )


@pytest.fixture
def load():
    """Load a program of the images' that is no module of a package."""

    def loaded(path: str):
        loader = importlib.machinery.SourceFileLoader("of_an_image", str(IMAGES / path))
        module = importlib.util.module_from_spec(
            importlib.util.spec_from_loader(loader.name, loader)
        )
        loader.exec_module(module)
        return module

    return loaded
