"""What a registry is asked before anything is built."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from building.failures import BuildProblem
from building.registry import Registry

from .conftest import IMAGES

LOGIN = base64.b64encode(b"ann:secret").decode()
MANIFEST = {"layers": [{"size": 100}, {"size": 23}]}


def digest_of(content):
    return f"sha256:{hashlib.sha256(json.dumps(content).encode()).hexdigest()}"


class Answers(BaseHTTPRequestHandler):
    """A registry that wants to know who asks below /v2/token, /v2/basic and /v2/closed.

    Below /v2/open it gives a token to anybody, and below /v2/silent it tells no digest.
    """

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path, who = self.path, self.headers.get("Authorization", "")
        if path.startswith("/token?"):
            assert "service=reg" in path and "scope=repository%3Atoken%3Apull" in path
            return self.say(200, {"token": "t0" if who == f"Basic {LOGIN}" else "anonymous"})
        if path.startswith("/v2/open/") and who != "Bearer anonymous":
            realm = f'"http://{self.headers["Host"]}/token"'
            return self.say(
                401, {}, f'Bearer realm={realm},service="reg",scope="repository:token:pull"'
            )
        if path.startswith("/v2/token/") and who != "Bearer t0":
            realm = f'"http://{self.headers["Host"]}/token"'
            return self.say(
                401, {}, f'Bearer realm={realm},service="reg",scope="repository:token:pull"'
            )
        if path.startswith("/v2/basic/") and who != f"Basic {LOGIN}":
            return self.say(401, {}, 'Basic realm="reg"')
        if path.startswith("/v2/closed/"):
            return self.say(403, {})
        assert "application/vnd.oci.image.manifest.v1+json" in self.headers["Accept"]
        if path.endswith("/headrace/python/manifests/many"):
            return self.say(200, {"manifests": [{"digest": "sha256:1"}, {"digest": "sha256:2"}]})
        if path.endswith(("/headrace/python/manifests/1", "/headrace/python/manifests/sha256:1")):
            return self.say(200, MANIFEST)
        return self.say(404, {})

    def say(self, code, content, challenge=None):
        body = json.dumps(content).encode()
        self.send_response(code)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        if "/silent/" not in self.path:
            self.send_header("Docker-Content-Digest", digest_of(content))
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
def login(host, tmp_path, monkeypatch):
    """What `docker login` leaves."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": LOGIN}}}))


@pytest.mark.parametrize("path", ["", "/acme", "/token", "/basic"])
def test_an_image_that_is_there_tells_its_size(host, login, path):
    registry = Registry(prefix=host + path, insecure=True)
    assert registry.pushed_bytes("headrace/python", "1") == 123
    assert registry.pushed_bytes("headrace/python", "many") == 123
    assert registry.pushed_bytes("headrace/python", "2") is None
    assert registry.pushed_bytes("headrace/spark", "1") is None


def test_a_registry_that_says_no(host, login):
    with pytest.raises(BuildProblem) as said:
        Registry(prefix=f"{host}/closed", insecure=True).pushed_bytes("headrace/python", "1")
    assert str(said.value) == (
        f"http://{host}/v2/closed/headrace/python/manifests/1: HTTP Error 403: Forbidden\n"
        f"  try: log in with the tool: docker login {host}"
    )


def test_a_registry_of_plain_http_is_not_asked_by_accident(host):
    with pytest.raises(BuildProblem, match="try: --insecure, if the registry speaks plain HTTP"):
        Registry(prefix=host).pushed_bytes("headrace/python", "1")


def test_without_a_login_one_is_asked_for(host, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for path in ("/token", "/basic"):
        with pytest.raises(BuildProblem, match=f"try: log in with the tool: docker login {host}"):
            Registry(prefix=host + path, insecure=True).pushed_bytes("headrace/python", "1")


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """Nobody is logged in anywhere."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)


@pytest.mark.parametrize("path", ["", "/open", "/silent"])
def test_a_tag_is_resolved_by_anybody(host, nobody, path):
    registry = Registry(prefix=host + path, insecure=True)
    assert registry.digest("headrace/python", "1") == digest_of(MANIFEST)
    # Of an image for many machines it is the list that counts.
    many = {"manifests": [{"digest": "sha256:1"}, {"digest": "sha256:2"}]}
    assert registry.digest("headrace/python", "many") == digest_of(many)


def test_a_tag_is_resolved_by_whoever_is_logged_in(host, login):
    registry = Registry(prefix=f"{host}/token", insecure=True)
    assert registry.digest("headrace/python", "1") == digest_of(MANIFEST)


def test_why_a_registry_does_not_tell(host, nobody):
    said = digests(
        f"{host}/open/headrace/python:1", f"{host}/headrace/python:2", f"{host}/closed/a:1",
        "127.0.0.1:9/a:1", "ghcr.io/a@sha256:0", "--insecure", host,
    )  # fmt: skip
    assert said == {
        f"{host}/open/headrace/python:1": {"digest": digest_of(MANIFEST)},
        f"{host}/headrace/python:2": {"why": f"{host} has no headrace/python:2"},
        f"{host}/closed/a:1": {
            "why": f"{host} does not tell: 403 Forbidden; try: docker login {host}"
        },
        "127.0.0.1:9/a:1": {"why": "127.0.0.1:9 cannot be reached: [Errno 111] Connection refused"},
        "ghcr.io/a@sha256:0": {"digest": "sha256:0"},
    }


def digests(*words):
    command = [sys.executable, "-SE", str(IMAGES / "digests.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
