"""What the images are made of, told from the lists that they are built with."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from building.failures import BuildProblem
from building.listing import debs, parts
from building.planning import plan
from building.references import parse
from building.wheels import MACHINES, chosen, file_name, tags, wanted
from packaging.markers import Marker
from packaging.tags import compatible_tags, cpython_tags

from .conftest import IMAGES, ROOT

DIGEST = "0" * 64


def package(name, *files, marker="", version="1"):
    """A package of a `pylock.toml`, as TOML."""
    one = "{{ url = 'https://pypi.lan/{}', size = 7, hashes = {{ sha256 = '{}' }} }}"
    built = ", ".join(one.format(file, DIGEST) for file in files if file.endswith(".whl"))
    sources = [one.format(file, DIGEST) for file in files if not file.endswith(".whl")]
    return (
        f'[[packages]]\nname = "{name}"\nversion = "{version}"\nmarker = "{marker}"\n'
        f"wheels = [{built}]\n" + "".join(f"sdist = {file}\n" for file in sources)
    )


LOCKS = {
    "python": package("plain", "plain-1-py3-none-any.whl", "plain-1.tar.gz")
    + package("source", "source-1.tar.gz")
    + package("windows", "windows-1-py3-none-any.whl", marker="sys_platform == 'win32'"),
}
LOCKS["spark"] = LOCKS["python"]
LOCKS["serve"] = (
    LOCKS["python"]
    + package(
        "torch", "torch-1-cp312-cp312-manylinux_2_28_x86_64.whl",
        "torch-1-cp312-cp312-manylinux_2_28_aarch64.whl", "torch-1-cp312-cp312-win_amd64.whl",
        "torch-1-cp311-cp311-manylinux_2_28_x86_64.whl",
    )
    + package("triton", "triton-1-cp312-cp312-manylinux_2_28_x86_64.whl", "triton-1.tar.gz")
)  # fmt: skip
LOCKS["ray"] = LOCKS["serve"]


def listed(sources, kind, **changes):
    found = replace(sources, **changes)
    everything = parts(found, LOCKS, plan(found), "reg.lan/ml")
    return [one for one in everything if one["kind"] == kind]


def test_each_file_once_with_what_takes_it(sources):
    found = {one["name"]: one["used_by"] for one in listed(sources, "wheel") if one["url"]}
    everywhere, torch = ["python", "spark", "serve", "ray"], ["serve", "ray"]
    assert found == {
        "plain-1-py3-none-any.whl": everywhere,
        "source-1.tar.gz": everywhere,
        "torch-1-cp312-cp312-manylinux_2_28_aarch64.whl": torch,
        "torch-1-cp312-cp312-manylinux_2_28_x86_64.whl": torch,
        "triton-1-cp312-cp312-manylinux_2_28_x86_64.whl": torch,
        "triton-1.tar.gz": torch,
    }


def test_what_is_said_of_a_file(sources):
    first = listed(sources, "wheel")[0]
    assert first == {
        "kind": "wheel", "name": "plain-1-py3-none-any.whl", "digest": f"sha256:{DIGEST}",
        "size": 7, "url": "https://pypi.lan/plain-1-py3-none-any.whl", "made": "",
        "path": "plain-1-py3-none-any.whl", "source": "uv.lock", "why": "",
        "used_by": ["python", "spark", "serve", "ray"],
    }  # fmt: skip


def test_torch_without_cuda_has_no_digest_and_says_why(sources):
    found = listed(sources, "wheel", torch="cpu", torch_index="https://torch.lan/cpu")
    heavy = [one for one in found if one["name"].startswith(("torch", "triton"))]
    assert [(one["name"], one["url"], one["digest"], one["why"]) for one in heavy] == [
        ("torch==1+cpu", "https://torch.lan/cpu", "", "the lock knows PyPI's files alone")
    ]


def test_installer_and_backend_are_listed_with_every_hash_of_theirs(sources):
    tools = [one for one in listed(sources, "wheel") if one["used_by"] == ["tools"]]
    assert [one["name"].partition("==")[0] for one in tools] == ["uv", "uv", "setuptools"]
    texts = (
        (sources.images / "tools/uv.txt").read_text(),
        (sources.images / "tools/backend.txt").read_text(),
    )
    for one in tools:
        assert f"--hash={one['digest']}" in "".join(texts)


def test_a_jar_that_is_added_is_listed_where_it_is_fetched(sources):
    lock, dockerfile = sources.images / "spark/jars.lock", sources.images / "spark/Dockerfile"
    lock.write_text(f"{lock.read_text()}\n{DIGEST} org.acme:thing:1.0  # why\n")
    text = dockerfile.read_text()
    dockerfile.write_text(text.replace("https://repo1.maven.org/maven2", "https://maven.lan/"))
    found = listed(sources, "jar")
    lines = [one.partition("#")[0].split() for one in lock.read_text().splitlines()]
    assert [(one["digest"], one["name"]) for one in found] == [
        (f"sha256:{digest}", name) for digest, name in filter(None, lines)
    ]
    assert found[-1]["url"] == "https://maven.lan/org/acme/thing/1.0/thing-1.0.jar"


def test_the_images_have_the_names_that_a_build_gives_them(sources):
    planned = plan(sources)
    base, *own = listed(sources, "image")
    assert (base["name"], base["made"]) == ("docker.io/library/python:3.12-slim-bookworm", "")
    assert {one["made"]: one["name"] for one in own} == {
        name: one.whole.reference("reg.lan/ml") for name, one in planned.items()
    }
    assert [one["path"] for one in own] == [
        f"headrace/{name}:{one.whole.tag}" for name, one in planned.items()
    ]


def test_debians_packages_are_those_that_a_build_installs():
    dockerfiles = [one.read_text() for one in IMAGES.glob("*/Dockerfile")]
    assert sum(one.count("apt-get install") for one in dockerfiles) == len(debs(IMAGES)) == 1
    assert [one.name for one in debs(IMAGES)] == ["openjdk-17-jre-headless"]


def test_the_real_lists():
    command = [sys.executable, "-SE", str(IMAGES / "build.py"), "--list"]
    # -S: whatever Python there is has to do, without packages.
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    lock = (ROOT / "uv.lock").read_text()
    files = [one for one in found if one["source"] == "uv.lock"]
    assert len(files) > 150
    for one in files:
        assert f'url = "{one["url"]}", hash = "{one["digest"]}", size = {one["size"]}' in lock
    assert [one for one in found if not one["digest"] and one["kind"] in ("jar", "wheel")] == []


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_wheels_are_ranked_as_installers_do(python, machine):
    ours = list(tags(python, machine))
    platforms = [one for one in dict.fromkeys(platform for _, _, platform in ours) if one != "any"]
    version = tuple(int(one) for one in python.split("."))
    theirs = [
        *cpython_tags(version, platforms=platforms),
        *compatible_tags(version, f"cp{python.replace('.', '')}", platforms),
    ]
    assert ours == list(dict.fromkeys((one.interpreter, one.abi, one.platform) for one in theirs))


def test_the_best_of_several_wheels_is_taken():
    names = [
        "a-1-py3-none-any.whl", "a-1-cp310-abi3-manylinux2014_x86_64.whl",
        "a-1-cp312-cp312-manylinux_2_17_x86_64.whl", "a-1-cp312-cp312-manylinux_2_99_x86_64.whl",
        "a-1-cp312-cp312-manylinux_2_17_x86_64.manylinux_2_34_x86_64.whl",
    ]  # fmt: skip
    order = []
    while names:
        wheels = [{"url": f"https://pypi.lan/{one}"} for one in names]
        try:
            best = chosen(
                {"name": "a", "version": "1", "wheels": wheels}, python="3.12", machine="x86_64"
            )
        except BuildProblem as problem:
            assert str(problem) == "a 1 has no file for Python 3.12 on x86_64."
            break
        order.append(file_name(best))
        names.remove(order[-1])
    assert order == [
        "a-1-cp312-cp312-manylinux_2_17_x86_64.manylinux_2_34_x86_64.whl",
        "a-1-cp312-cp312-manylinux_2_17_x86_64.whl",
        "a-1-cp310-abi3-manylinux2014_x86_64.whl",
        "a-1-py3-none-any.whl",
    ]


@pytest.mark.parametrize(
    "marker",
    [
        "",
        "python_full_version < '3.12' and sys_platform == 'linux'",
        "python_full_version >= '3.9.2'",
        "python_version >= '3.9'",
        "(platform_machine == 'aarch64' or platform_machine == 'arm64') and os_name != 'nt'",
        "implementation_name != 'PyPy' and platform_python_implementation != 'PyPy'",
        "platform_machine in 'x86_64 amd64'",
        "'x86' not in platform_machine or platform_system == 'Darwin'",
    ],
)
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_markers_hold_where_installers_say_so(marker, machine, python):
    facts = {
        "python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux",
        "platform_machine": machine, "os_name": "posix", "implementation_name": "cpython",
        "platform_python_implementation": "CPython", "platform_system": "Linux",
    }  # fmt: skip
    expected = not marker or Marker(marker).evaluate(facts)
    assert wanted(marker, python=python, machine=machine) is expected


@pytest.mark.parametrize("marker", ["os.remove('a')", "platform_release == '6'", "sys_platform"])
def test_a_marker_that_is_not_understood_ends_the_list(marker):
    with pytest.raises(BuildProblem, match="The lock has a marker that is not understood: "):
        wanted(marker, python="3.12", machine="x86_64")


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("python:3.12", "docker.io/library/python:3.12"),
        ("acme/thing", "docker.io/acme/thing:latest"),
        ("localhost:5000/thing:1", "localhost:5000/thing:1"),
        ("localhost/thing:1", "localhost/thing:1"),
        ("ghcr.io/acme/a/b@sha256:0", "ghcr.io/acme/a/b@sha256:0"),
        ("ghcr.io/acme/a:1@sha256:0", "ghcr.io/acme/a:1@sha256:0"),
    ],
)
def test_names_are_read_as_tools_read_them(name, whole):
    assert parse(name).name == whole
