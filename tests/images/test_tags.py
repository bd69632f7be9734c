"""An image's tag changes when something that goes into it changes, and only then."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import pytest
from building.planning import plan
from building.recipes import BY_NAME

from .conftest import EXPORTS, HASH, listed, make_wheel

ALL = {"python", "spark", "serve", "ray"}


def changed(before, after) -> tuple[set[str], set[str]]:
    """The images whose libraries, and those whose whole changed."""
    return tuple(
        {name for name in ALL if getattr(before[name], part).tag != getattr(after[name], part).tag}
        for part in ("libraries", "whole")
    )


def rewrite(name):
    """Add a line to a file of the images'."""

    def apply(sources):
        path = sources.images / name
        path.write_bytes(path.read_bytes() + b"\n# more\n")
        return sources

    return apply


def lock(old, new):
    """Exchange a word of the lock."""

    def apply(sources):
        return replace(
            sources, exports={one: text.replace(old, new) for one, text in sources.exports.items()}
        )

    return apply


def touch(sources):
    """Give files and wheel another time and leave something behind, as running Python does."""
    for path in sources.images.rglob("*"):
        os.utime(path, (1, 1))
    (sources.images / "tools/__pycache__").mkdir()
    (sources.images / "tools/__pycache__/install.cpython-312.pyc").write_bytes(b"\0")
    (sources.images / "README.md").write_text("other words")
    (sources.images / "build.py").write_text("# other code\n")
    return replace(sources, wheel=make_wheel(sources.wheel.parent))


@pytest.mark.parametrize(
    ("change", "libraries", "whole"),
    [
        (touch, set(), set()),
        (lambda s: replace(s, wheel=make_wheel(s.wheel.parent, new="1")), set(), ALL),
        (rewrite("headrace/finish.py"), set(), ALL),
        (rewrite("tools/install.py"), ALL, ALL),
        (rewrite("tools/uv.txt"), ALL, ALL),
        (rewrite("python/Dockerfile"), ALL, ALL),
        (rewrite("spark/jars.lock"), {"spark"}, {"spark"}),
        (rewrite("spark/spark-entrypoint"), {"spark"}, {"spark"}),
        (rewrite("serve/Dockerfile"), {"serve", "ray"}, {"serve", "ray"}),
        (rewrite("ray/Dockerfile"), {"ray"}, {"ray"}),
        (lock("mlflow==3.17.2", "mlflow==3.17.3"), ALL, ALL),
        (lock("triton==3.9.0", "triton==3.9.1"), {"serve", "ray"}, {"serve", "ray"}),
        (lock("ray==2.60.0", "ray==2.60.1"), {"ray"}, {"ray"}),
        (lock(HASH[:-1] + "0", HASH[:-1] + "1"), ALL, ALL),
        (lambda s: replace(s, base="python:3.12-slim-trixie"), ALL, ALL),
        (lambda s: replace(s, torch="cpu"), {"serve", "ray"}, {"serve", "ray"}),
        (lambda s: replace(s, torch_index="https://elsewhere"), set(), set()),
    ],
)
def test_a_tag_follows_what_goes_in(sources, change, libraries, whole):
    before = plan(sources)
    assert changed(before, plan(change(sources))) == (libraries, whole)


def test_a_tag_is_a_version_and_twelve_digits(sources):
    planned = plan(sources)
    assert all(re.fullmatch(r"0\.1\.0-[0-9a-f]{12}", one.whole.tag) for one in planned.values())
    assert all(
        re.fullmatch(r"libraries-[0-9a-f]{12}", one.libraries.tag) for one in planned.values()
    )
    assert len({one.whole.tag for one in planned.values()}) == len(ALL)


def test_each_image_stands_on_its_parent(sources):
    planned = plan(sources)
    assert planned["ray"].libraries.arguments("reg.io/acme") == {
        "TOOLS": planned["python"].libraries.parents["TOOLS"].reference("reg.io/acme"),
        "PARENT": f"reg.io/acme/headrace/serve:{planned['serve'].libraries.tag}",
    }
    assert planned["ray"].whole.arguments("reg.io/acme") == {
        "LIBRARIES": f"reg.io/acme/headrace/ray:{planned['ray'].libraries.tag}"
    }


def test_an_image_tells_its_versions(sources):
    assert plan(sources)["spark"].versions == {
        "headrace": "0.1.0",
        "python": "3.12",
        "kfp": "2.17.0",
        "mlflow": "3.17.2",
        "scikit-learn": "1.9.1",
        "pandas": "3.1.1",
        "numpy": "2.5.5",
        "pyarrow": "25.0.1",
        "obstore": "0.12.1",
        "pyspark": "4.3.0",
        "hadoop": "3.5.0",
    }
    assert plan(sources)["spark"].whole.labels == {
        "org.opencontainers.image.title": "headrace/spark",
        "org.opencontainers.image.version": "0.1.0",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "dev.headrace.image": "spark",
        "dev.headrace.version.headrace": "0.1.0",
        "dev.headrace.version.python": "3.12",
        "dev.headrace.version.kfp": "2.17.0",
        "dev.headrace.version.mlflow": "3.17.2",
        "dev.headrace.version.scikit-learn": "1.9.1",
        "dev.headrace.version.pandas": "3.1.1",
        "dev.headrace.version.numpy": "2.5.5",
        "dev.headrace.version.pyarrow": "25.0.1",
        "dev.headrace.version.obstore": "0.12.1",
        "dev.headrace.version.pyspark": "4.3.0",
        "dev.headrace.version.hadoop": "3.5.0",
    }


def test_torch_without_cuda_is_another_list(sources):
    locked = plan(replace(sources, torch="cpu"))["serve"].libraries.files
    assert {name: text.decode() for name, text in locked.items() if "locked" in name} == {
        "locked/1-locked.txt": listed(*EXPORTS["python"]),
        "locked/2-torch.txt": "--index-url https://download.pytorch.org/whl/cpu\n"
        "torch==2.15.0+cpu\n",
    }
    assert plan(replace(sources, torch="cpu"))["serve"].versions["torch"] == "2.15.0+cpu"


def test_every_recipe_has_a_dockerfile(sources):
    assert {path.parent.name for path in sources.images.glob("*/Dockerfile")} == {
        *BY_NAME, "tools", "headrace",
    }  # fmt: skip
