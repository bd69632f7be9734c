"""The charts that an installation takes: our own, and the list of others' that lies beside it."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from headrace.cli.installing import find_chart
from headrace.core.errors import EnvironmentProblem

KUBERAY = "kuberay-operator"
_TIMEOUT = 10
# Repositories of long standing list thousands of archives; the loader in C takes a tenth.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, kw_only=True)
class OtherChart:
    """A chart of somebody else's, in the version that is installed."""

    name: str
    """Its name in the repository, and the release's."""
    repository: str
    """The repository's URL."""
    version: str
    """The chart's version."""
    image: str
    """The image that it is told to run, without its tag."""
    tag: str
    """That image's tag."""
    digest: str = ""
    """The archive's, `sha256:...`, where it is known."""
    url: str = ""
    """Where the archive is, where that is known."""

    def settings(self, *, mirror: str = "") -> list[str]:
        """The values that say which image it runs, each as `NAME=VALUE`."""
        image = f"{mirror}/{self.image}" if mirror else self.image
        return [f"image.repository={image}", f"image.tag={self.tag}"]

    def found(self) -> OtherChart:
        """The same with what its repository tells of the archive.

        Raises:
            EnvironmentProblem: The repository cannot be asked, or has no such chart.
        """
        index = f"{self.repository.rstrip('/')}/index.yaml"
        host = urllib.parse.urlsplit(index).netloc
        try:
            with urllib.request.urlopen(index, timeout=_TIMEOUT) as answer:  # noqa: S310
                listed = yaml.load(answer.read(), Loader=_LOADER)  # noqa: S506
            [one] = [
                one for one in listed["entries"][self.name] if str(one["version"]) == self.version
            ]
            url = urllib.parse.urljoin(index, one["urls"][0])
            digest = str(one["digest"]).removeprefix("sha256:")
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise EnvironmentProblem(f"{host} cannot be reached: {reason}") from None
        except (yaml.YAMLError, LookupError, TypeError, ValueError):
            raise EnvironmentProblem(f"{host} lists no {self.name} {self.version}") from None
        return replace(self, digest=f"sha256:{digest}", url=url)


def other_charts() -> dict[str, OtherChart]:
    """Others' charts by name.

    Raises:
        EnvironmentProblem: Our own chart is not there, and so neither is the list.
    """
    listed = yaml.safe_load((find_chart().parent / "charts.yaml").read_text(encoding="utf-8"))
    return {
        name: OtherChart(
            name=name,
            repository=one["repository"],
            version=str(one["version"]),
            image=one["image"]["repository"],
            tag=str(one["image"]["tag"]),
        )
        for name, one in listed.items()
    }


def folder_digest(folder: Path) -> str:
    """A digest over a folder's files: that of what `sha256sum` writes of them, ordered by name."""
    files = sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file())
    lines = [f"{hashlib.sha256((folder / one).read_bytes()).hexdigest()}  {one}\n" for one in files]
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"
