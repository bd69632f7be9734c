"""One pipeline on this machine, on a cluster driven from here, and driven by KFP: by phase.

    python bench/drivers.py CONTEXT NAMESPACE [PIPELINE] [-p NAME=VALUE] [--rounds 1]
                            [--ways here,direct,kfp]

The namespace is a site; `kfp` is left out where the site has none. Every step of every run is
new. Without a PIPELINE it is three steps that do nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import machine

from headrace.cluster.contexts import connect
from headrace.sites.cluster import discover

HEADRACE = str(Path(sys.executable).with_name("headrace"))
THREE = """
from kfp import dsl

import headrace as hr


@hr.step
def add(value: int) -> int:
    return value + 1


@dsl.pipeline(name="three")
def three(value: int = 0):
    for _ in range(3):
        value = add(value=value).output
"""


def run(pipeline: str, options: list[str], home: Path) -> dict[str, Any]:
    """What `headrace run` says of a run, every step of it new."""
    command = [HEADRACE, "run", pipeline, "--no-cache", "--json", "--home", str(home), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    said: dict[str, Any] = json.loads(done.stdout)
    # 3 is a gate's no: the work was done all the same.
    if done.returncode not in (0, 3):
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {json.dumps(said['error'])}")
    return said


def main() -> None:
    """Take turns, and tell the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("context")
    parser.add_argument("namespace")
    parser.add_argument("pipeline", nargs="?")
    parser.add_argument("-p", dest="parameters", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--ways", default="here,direct,kfp")
    asked = parser.parse_args()
    on = ["--on", asked.context, "-n", asked.namespace, "--new"]
    ways = {"here": [], "direct": [*on, "--direct"], "kfp": on}
    if not discover(connect(asked.context, asked.namespace)).kfp.url:
        del ways["kfp"]
    wanted = {name: ways[name] for name in asked.ways.split(",") if name in ways}
    given = [word for one in asked.parameters for word in ("-p", one)]
    seconds: dict[str, list[float]] = {name: [] for name in wanted}
    phases: dict[str, dict[str, list[float]]] = {name: {} for name in wanted}
    with tempfile.TemporaryDirectory() as folder:
        pipeline = asked.pipeline or str(Path(folder, "three.py"))
        if not asked.pipeline:
            Path(pipeline).write_text(THREE)
        for number in range(asked.rounds):
            for name, options in wanted.items():
                said = run(pipeline, [*options, *given], Path(folder, f"{name}-{number}"))
                seconds[name].append(said["seconds"])
                for step in said["steps"]:
                    phases[name].setdefault(step["name"], []).append(step["seconds"] or 0.0)
        subprocess.run([HEADRACE, "stop", "--all", "--home", str(Path(folder, "here-0"))],
                       capture_output=True)  # fmt: skip
    report(seconds, phases, asked.rounds)


def report(
    seconds: dict[str, list[float]], phases: dict[str, dict[str, list[float]]], rounds: int
) -> None:
    """The table: a line for each step, a column for each way."""
    print(f"{machine()}; seconds, median of {rounds}")
    print(f"{'':20}" + "".join(f"{name:>10}" for name in seconds))
    steps = list(dict.fromkeys(step for found in phases.values() for step in found))
    for step in steps:
        cells = (phases[name].get(step) for name in seconds)
        told = (f"{statistics.median(one):10.1f}" if one else f"{'':>10}" for one in cells)
        print(f"{step:20}" + "".join(told))
    print(f"{'the whole run':20}" + "".join(
        f"{statistics.median(one):10.1f}" for one in seconds.values()))  # fmt: skip


if __name__ == "__main__":
    main()
