"""The commands that bring things over to a mirror, as a script that people read and run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from headrace.cli.charts import KUBERAY, other_charts
from headrace.cli.kuberay import NAMESPACE
from headrace.cli.mirroring import Item

_HEAD = """\
#!/bin/sh
# Brings what Headrace takes to {to}, and files into charts/, maven/ and wheels/.
# To be run in a checkout, and again where it has ended early: a file that is whole stays.
set -eu
whole() { echo "$1  $2" | sha256sum --check --quiet -; }
fetch() {
  if [ -e "$3" ] && whole "$1" "$3" 2>/dev/null; then return; fi
  curl --fail --silent --show-error --location --create-dirs --output "$3" "$2"
  whole "$1" "$3"
}"""


def script(items: Sequence[Item], to: str) -> Iterator[str]:
    """The script's lines.

    Args:
        items: What is brought over.
        to: The chart's value `mirror`: a registry, and a path in it.
    """
    yield _HEAD.replace("{to}", to)
    for title, write in (
        ("image", _image), ("chart", _chart), ("jar", _jar), ("wheel", _wheel), ("deb", _deb),
    ):  # fmt: skip
        group = [one for one in items if one.kind == title]
        if group:
            yield ""
        yield from dict.fromkeys(line for one in group for line in write(one, to))
    yield from _afterwards(items, to)


def _image(item: Item, to: str) -> Iterator[str]:
    if item.unpushed:
        yield f"# Headrace's own images are {item.why.replace('...', to)}"
        return
    untagged, _, digest = _parts(item.name)
    source = f"{untagged}@{item.digest}" if item.digest else item.name
    name, tag, _ = _parts(item.path)
    target = f"{name}:{tag}" if tag else f"{name}@{digest}"
    words = ["skopeo", "copy", "--all", "--preserve-digests"]
    yield shlex.join([*words, f"docker://{source}", f"docker://{to}/{target}"])


def _parts(name: str) -> tuple[str, str, str]:
    """An image's name, its tag and its digest; one of the latter may be empty."""
    rest, _, digest = name.partition("@")
    folder, slash, last = rest.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{folder}{slash}{last}", tag if tag or digest else "latest", digest


def _chart(item: Item, to: str) -> Iterator[str]:
    archive = f"charts/{item.name}-{item.version}.tgz"
    yield "mkdir -p charts"
    if "://" not in item.source:
        yield shlex.join(["helm", "package", item.source, "--destination", "charts"])
    else:
        yield shlex.join(
            ["helm", "pull", item.name, "--repo", item.source, "--version", item.version,
             "--destination", "charts"]
        )  # fmt: skip
        if item.digest:
            yield f"whole {_hex(item)} {archive}"
    yield shlex.join(["helm", "push", archive, f"oci://{to}/charts"])


def _jar(item: Item, to: str) -> Iterator[str]:
    yield shlex.join(["fetch", _hex(item), item.url, f"maven/{item.path}"])


def _wheel(item: Item, to: str) -> Iterator[str]:
    if item.path:
        yield shlex.join(["fetch", _hex(item), item.url, f"wheels/{item.path}"])
    else:
        # Two of them, one for each kind of machine; pip takes the one for its own.
        words = ["pip", "download", "--no-deps", "--require-hashes", "--dest", "wheels"]
        yield shlex.join([*words, "-r", item.source])


def _deb(item: Item, to: str) -> Iterator[str]:
    yield f"# {item.name} and what it needs: from a mirror of Debian's, by the base image's apt"


def _afterwards(items: Sequence[Item], to: str) -> Iterator[str]:
    """How the installation is told."""
    yield ""
    if any(one.kind == "image" for one in items):
        own = [one for one in items if one.made and not one.unpushed]
        named = [f"mirror={to}", *(f"images.{one.made}={to}/{one.path}" for one in own)]
        words = [part for one in named for part in ("--set", one)]
        yield f"# headrace install --on CONTEXT -n NAMESPACE {shlex.join(words)}"
    if any(one.name == KUBERAY for one in items):
        chart = other_charts()[KUBERAY]
        words = [part for one in chart.settings(mirror=to) for part in ("--set", one)]
        yield (
            f"# helm upgrade {KUBERAY} oci://{to}/charts/{KUBERAY} --install --version "
            f"{chart.version} --namespace {NAMESPACE} --create-namespace {shlex.join(words)}"
        )


def _hex(item: Item) -> str:
    return item.digest.removeprefix("sha256:")
