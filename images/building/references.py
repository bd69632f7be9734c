"""An image's name, taken apart."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A name as tools understand it: what it leaves out is Docker Hub's."""

    registry: str
    """`ghcr.io`."""
    repository: str
    """`kubeflow/kfp-driver`."""
    tag: str
    """Empty if there is a digest only."""
    digest: str = ""
    """`sha256:...`, if the name has one."""

    @property
    def name(self) -> str:
        """The whole name, with nothing left out."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def parse(name: str) -> Reference:
    """Take a name apart.

    >>> parse("python:3.12").name
    'docker.io/library/python:3.12'
    """
    rest, _, digest = name.partition("@")
    first, slash, _ = rest.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        rest = f"docker.io/{rest}" if slash else f"docker.io/library/{rest}"
    registry, _, path = rest.partition("/")
    repository, _, tag = path.partition(":")
    return Reference(
        registry=registry,
        repository=repository,
        tag=tag or ("" if digest else "latest"),
        digest=digest,
    )
