"""The programs that build images, and the command lines that each of them wants."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from building.failures import BuildProblem
from building.stages import EPOCH

TOOLS = ("docker", "podman", "buildah")
"""In the order in which they are looked for."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A program to build and push with, as it was set up on the command line."""

    name: str
    """`docker`, `podman` or `buildah`."""
    insecure: bool = False
    """The registry speaks plain HTTP."""
    flags: Sequence[str] = ()
    """More flags for each build."""

    def build(
        self,
        folder: str,
        reference: str,
        *,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
    ) -> list[str]:
        """Build a context."""
        said = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        said += [f"--label={name}={value}" for name, value in labels.items()]
        options = [*self._repeatable(), *said, *self.flags]
        return [self.name, "build", *options, "--tag", reference, folder]

    def push(self, reference: str) -> list[str]:
        """Push an image under its own name."""
        return [self.name, "push", *self._plain_http(), reference]

    def holds(self, reference: str) -> list[str]:
        """Succeeds if the tool has this image on this machine."""
        match self.name:
            case "docker":
                return ["docker", "image", "inspect", "--format", "{{.Id}}", reference]
            case "podman":
                return ["podman", "image", "exists", reference]
            case _:
                quiet = ["--format", "{{.FromImageID}}"]
                return ["buildah", "inspect", "--type", "image", *quiet, reference]

    def remove(self, references: Sequence[str]) -> list[str]:
        """Drop images, and layers that no other image needs."""
        return [self.name, "rmi", *references]

    def size(self, reference: str) -> list[str]:
        """Prints how large an image is once unpacked."""
        return [self.name, "images", "--format", "{{.Size}}", reference]

    def _repeatable(self) -> list[str]:
        """What makes the same inputs give the same image, as far as the tool can."""
        if self.name == "docker":
            return [f"--build-arg=SOURCE_DATE_EPOCH={EPOCH}"]
        # Without `--layers` a stage's last part is one layer. What is built already is known by
        # its tag, and older releases of buildah mistake a cached layer for another's.
        once = ["--layers=false", "--force-rm", f"--timestamp={EPOCH}"]
        # Left to itself buildah asks the registry for a newer image at each build.
        missing = ["--pull=false"] if self.name == "buildah" else []
        return [*once, *missing, *self._plain_http()]

    def _plain_http(self) -> list[str]:
        """What lets a tool use plain HTTP; docker has it in its daemon's settings alone."""
        return ["--tls-verify=false"] if self.insecure and self.name != "docker" else []


def find_tool(wanted: str | None) -> str:
    """The tool to use: the one asked for, else the first that is here."""
    for name in (wanted,) if wanted else TOOLS:
        if shutil.which(name) and (wanted or works(name)):
            return name
    raise BuildProblem(
        f"{wanted or 'docker, podman or buildah'}: not on this machine, or not at work.",
        hint="apt-get install podman, or name another with --tool",
    )


def works(name: str) -> bool:
    """Whether a tool can do anything; docker's client alone cannot."""
    return subprocess.run([name, "info"], capture_output=True).returncode == 0
