"""What a registry is asked before anything is built."""

from __future__ import annotations

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from building.failures import BuildProblem
from building.registry import Registry

LOGIN = base64.b64encode(b"ann:secret").decode()
MANIFEST = {"layers": [{"size": 100}, {"size": 23}]}


class Answers(BaseHTTPRequestHandler):
    """A registry that wants to know who asks below /v2/token, /v2/basic and /v2/closed."""

    def do_GET(self):
        path, who = self.path, self.headers.get("Authorization", "")
        if path.startswith("/token?"):
            assert "service=reg" in path and "scope=repository%3Atoken%3Apull" in path
            return self.say(200, {"token": "t0" if who == f"Basic {LOGIN}" else "anonymous"})
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
        self.send_response(code)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

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
