"""Others' images, made here where a testbed can pull none: the same servers from Debian's packages,
behind the part of the images' own contract that the chart uses.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml
from tests.site import BASE, ROOT, TESTBED

HERE = Path(__file__).parent
PROGRAMS = Path.home() / ".cache/testbed/bin"
MADE = {"postgres": (), "mysql": (), "objectStore": ("versitygw",)}
"""What is made, and the testbed's programs that go into it."""


def names() -> dict[str, str]:
    """Others' images by the chart's names for them."""
    found: dict[str, str] = yaml.safe_load((ROOT / "helm/headrace/values.yaml").read_text())[
        "otherImages"
    ]
    return found


def make() -> None:
    """Give the testbed's node those that it lacks, under the names that the chart has for them."""
    for kind, programs in MADE.items():
        image = names()[kind]
        if _is_there(image):
            continue
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(HERE / kind.lower(), folder, dirs_exist_ok=True)
            for program in programs:
                shutil.copy(PROGRAMS / program, folder)
            _run("buildah", "build", "--quiet", "--network=host", "--pull=never",
                 f"--build-arg=BASE={BASE}", f"--tag={image}", folder)  # fmt: skip
        _run(str(TESTBED), "import", image)
        _run("buildah", "rmi", image)


def _is_there(image: str) -> bool:
    socket = "/var/lib/testbed/run/containerd.sock"
    listed = subprocess.run(
        ["ctr", "-a", socket, "-n", "k8s.io", "images", "list", "-q", f"name=={image}"],
        capture_output=True, text=True,
    )  # fmt: skip
    return image in listed.stdout.split()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, (
        f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    )
