"""Asks registries what images' names stand for now, and fetches nothing.

Writes an object on standard output: name to `{"digest": "sha256:..."}`, or to `{"why": "..."}`
where a registry does not tell. Whoever is logged in with docker or podman is logged in here.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor

from building.failures import BuildProblem
from building.references import parse
from building.registry import Registry

TIMEOUT = 10
"""Seconds that a registry has for an answer."""


def main() -> None:
    """Ask for each name, all at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME", help="an image's name")
    parser.add_argument(
        "--insecure", action="append", default=[], metavar="HOST",
        help="this registry speaks plain HTTP; can be given again",
    )  # fmt: skip
    arguments = parser.parse_args()
    with ThreadPoolExecutor(max_workers=min(len(arguments.names), 32)) as pool:
        told = pool.map(lambda name: ask(name, arguments.insecure), arguments.names)
    print(json.dumps(dict(zip(arguments.names, told, strict=True)), indent=1))


def ask(name: str, insecure: list[str]) -> dict[str, str]:
    """One name's digest, or why there is none."""
    reference = parse(name)
    if reference.digest:
        return {"digest": reference.digest}
    host = reference.registry
    registry = Registry(prefix=host, insecure=host in insecure, timeout=TIMEOUT)
    try:
        return {"digest": registry.digest(reference.repository, reference.tag)}
    except BuildProblem as problem:
        return {"why": str(problem).replace("\n  try: ", "; try: ")}


if __name__ == "__main__":
    main()
