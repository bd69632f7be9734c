"""Fetches the jars that a lock file names and checks them, while an image is built."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ATTEMPTS = 4
"""How often a download is tried; a repository that is busy gets a moment."""


def main() -> None:
    """Fetch every jar of the lock file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lock", type=Path, help="lines of `SHA256 group:artifact:version`")
    parser.add_argument("--from", dest="source", required=True, help="a Maven repository's URL")
    parser.add_argument("--to", type=Path, required=True, help="the folder to fill")
    args = parser.parse_args()
    args.to.mkdir(parents=True, exist_ok=True)
    for digest, coordinates in parse(args.lock.read_text(encoding="utf-8")):
        path = jar_path(coordinates)
        content = fetch(f"{args.source.rstrip('/')}/{path}")
        if (found := hashlib.sha256(content).hexdigest()) != digest:
            sys.exit(f"{path} is not what the lock file says: sha256 {found}, not {digest}")
        (args.to / path.rpartition("/")[2]).write_bytes(content)
        print(f"{len(content):>10,} {coordinates}", flush=True)


def parse(text: str) -> list[tuple[str, str]]:
    """The digest and the coordinates of each line; `#` begins a comment."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return [(digest, coordinates) for digest, coordinates in filter(None, lines)]


def jar_path(coordinates: str) -> str:
    """Where a Maven repository keeps a jar.

    >>> jar_path("org.apache.hadoop:hadoop-aws:3.5.0")
    'org/apache/hadoop/hadoop-aws/3.5.0/hadoop-aws-3.5.0.jar'
    """
    group, artifact, version = coordinates.split(":")
    return f"{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.jar"


def fetch(url: str) -> bytes:
    """What lies at a URL."""
    for attempt in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
                return bytes(answer.read())
        except OSError as error:
            final = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if final or attempt == ATTEMPTS - 1:
                sys.exit(f"{url}: {error}")
            time.sleep(2**attempt)
    raise AssertionError("the last attempt returns or ends the program")


if __name__ == "__main__":
    main()
