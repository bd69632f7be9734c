"""The door to a registry, to look only: whether an image is there, how large it is, its digest.

The tools push; but none of them tells this in a way that the others tell too.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from building.failures import BuildProblem

DOCKER_HUB = {
    "docker.io": ("registry-1.docker.io", "https://index.docker.io/v1/"),
}
"""A registry whose API and whose login go by other names than its images do."""
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    headers: Mapping[str, str]
    """Its headers."""
    content: bytes
    """Its body."""


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A registry and the part of it that images are under."""

    prefix: str
    """`ghcr.io/acme` or `10.0.0.1:5000`."""
    insecure: bool = False
    """It speaks plain HTTP."""
    timeout: float = 30
    """Seconds that it has for each answer."""

    @property
    def name(self) -> str:
        """What images' names begin with: the part before the first slash."""
        return self.prefix.partition("/")[0]

    @property
    def host(self) -> str:
        """Where its API is."""
        return DOCKER_HUB.get(self.name, (self.name, self.name))[0]

    @property
    def login_name(self) -> str:
        """What tools file its login under."""
        return DOCKER_HUB.get(self.name, (self.name, self.name))[1]

    def pushed_bytes(self, repository: str, tag: str) -> int | None:
        """The size of an image's layers as the registry holds them; None if it has no such image.

        Raises:
            BuildProblem: The registry cannot be asked.
        """
        manifest = self._manifest(repository, tag)
        if manifest and "manifests" in manifest:  # one for each kind of machine: take the first
            manifest = self._manifest(repository, manifest["manifests"][0]["digest"])
        return None if manifest is None else sum(one["size"] for one in manifest["layers"])

    def digest(self, repository: str, tag: str) -> str:
        """What a tag stands for now: `sha256:...`, for an image for many machines that of its list.

        Raises:
            BuildProblem: The registry cannot be asked, or has no such image.
        """
        url = self._url(repository, tag)
        try:
            # Not fetched, only looked at: Docker Hub counts what is fetched.
            known = self._get(url, method="HEAD").headers.get("Docker-Content-Digest")
            return known or f"sha256:{hashlib.sha256(self._get(url).content).hexdigest()}"
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise BuildProblem(f"{self.name} has no {repository}:{tag}") from None
            hint = f"docker login {self.name}" if error.code in (401, 403) else ""
            raise BuildProblem(
                f"{self.name} does not tell: {error.code} {error.reason}", hint=hint
            ) from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise BuildProblem(f"{self.name} cannot be reached: {reason}") from None
        except (ValueError, KeyError, HTTPException):
            raise BuildProblem(f"{self.name} does not answer as a registry does") from None

    def _url(self, repository: str, reference: str) -> str:
        scheme = "http" if self.insecure else "https"
        path = "/".join(filter(None, (self.prefix.partition("/")[2], repository)))
        return f"{scheme}://{self.host}/v2/{path}/manifests/{reference}"

    def _manifest(self, repository: str, reference: str) -> dict[str, Any] | None:
        url = self._url(repository, reference)
        try:
            found: dict[str, Any] | None = json.loads(self._get(url).content)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            hint = f"log in with the tool: docker login {self.name}" if error.code < 500 else ""
            raise BuildProblem(f"{url}: {error}", hint=hint) from None
        except OSError as error:
            hint = "" if self.insecure else "--insecure, if the registry speaks plain HTTP"
            raise BuildProblem(f"{url}: {error}", hint=hint) from None
        return found

    def _get(self, url: str, *, method: str = "GET") -> Answer:
        """Ask; where the registry wants to know who does, ask again as whoever is logged in."""
        headers = {"Accept": ", ".join(MANIFESTS)}
        try:
            return self._read(url, headers, method=method)
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            challenge = error.headers.get("WWW-Authenticate", "")
        known = headers | {"Authorization": self._authorization(challenge)}
        return self._read(url, known, method=method)

    def _authorization(self, challenge: str) -> str:
        known = login(self.login_name)
        if not challenge.lower().startswith("bearer"):
            return f"Basic {known}"
        asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = {name: asked[name] for name in ("service", "scope") if name in asked}
        realm = f"{asked['realm']}?{urllib.parse.urlencode(query)}"
        told = self._read(realm, {"Authorization": f"Basic {known}"} if known else {})
        answer = json.loads(told.content)
        return f"Bearer {answer.get('token') or answer.get('access_token')}"

    def _read(self, url: str, headers: dict[str, str], *, method: str = "GET") -> Answer:
        request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=self.timeout) as answer:  # noqa: S310
            return Answer(headers=answer.headers, content=answer.read())


def login(host: str) -> str:
    """`user:password` in base64 as a tool's login left it for a registry; empty if none did."""
    for path in login_files():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        helper = stored.get("credHelpers", {}).get(host) or stored.get("credsStore")
        found = stored.get("auths", {}).get(host, {}).get("auth") or _ask_helper(helper, host)
        if found:
            return str(found)
    return ""


def login_files() -> list[Path]:
    """Where podman and buildah, and where docker keeps logins."""
    docker = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker")) / "config.json"
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
    given = os.environ.get("REGISTRY_AUTH_FILE")
    return [*([Path(given)] if given else []), runtime / "containers/auth.json", docker]


def _ask_helper(helper: str | None, host: str) -> str:
    if not helper or not shutil.which(f"docker-credential-{helper}"):
        return ""
    done = subprocess.run(
        [f"docker-credential-{helper}", "get"], input=host, capture_output=True, text=True
    )
    if done.returncode:
        return ""
    told = json.loads(done.stdout)
    return base64.b64encode(f"{told['Username']}:{told['Secret']}".encode()).decode()
