"""Flights with Headrace against the same work as three bare scripts, and edited run again.

    python bench/flights.py [RUNS]

Every run is cold: a home of its own, a copy of the pipelines of its own. The bare scripts
(`bench/bare/flights`) do the same work with the same engines: a Spark script, a torchrun
script, and one that evaluates, plots and logs to MLflow. The edited run changes a constant
of the model alone and runs in the first run's home.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from measuring import Measured, machine, measure

ROOT = Path(__file__).resolve().parent.parent
HEADRACE = str(Path(sys.executable).with_name("headrace"))
EDIT = ROOT / "pipelines/flights/training.py", re.compile(r"(DROPOUT\s*=\s*)([\d.]+)")


def headrace(folder: Path) -> tuple[Measured, Measured]:
    """A cold run and the edited one."""
    pipelines = folder / "pipelines"
    shutil.copytree(ROOT / "pipelines", pipelines, ignore=shutil.ignore_patterns("__pycache__"))
    command = [HEADRACE, "run", str(pipelines / "flights"), "--home", str(folder / "home")]
    cold = measure(command, log=folder / "cold.log")
    model = pipelines / "flights" / EDIT[0].name
    text, edits = EDIT[1].subn(lambda found: f"{found[1]}{float(found[2]) / 2}", model.read_text())
    if edits != 1:
        sys.exit(f"{model} has no single DROPOUT to edit")
    model.write_text(text)
    edited = measure(command, log=folder / "edited.log")
    stop = [HEADRACE, "stop", "--all", "--home", str(folder / "home")]
    measure(stop, log=folder / "stop.log")
    return cold, edited


def bare(folder: Path) -> Measured:
    """The three scripts, one after the other."""
    folder.mkdir()
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = ROOT / "bench/bare/flights/run.sh"
    return measure(["bash", str(script), str(folder)], log=folder / "log", env=environment)


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(machine())
    rows: dict[str, list[Measured]] = {
        "headrace, cold": [],
        "bare scripts": [],
        "headrace, edited": [],
    }
    with tempfile.TemporaryDirectory() as place:
        for number in range(runs):
            cold, edited = headrace(Path(place) / f"headrace-{number}")
            rows["headrace, cold"].append(cold)
            rows["headrace, edited"].append(edited)
            rows["bare scripts"].append(bare(Path(place) / f"bare-{number}"))
        for name, done in rows.items():
            # 3 is the gate's own exit code: an edited model may honestly lose to the champion.
            if any(one.code not in (0, 3) for one in done):
                keep = Path(tempfile.mkdtemp(prefix="bench-flights-"))
                shutil.copytree(place, keep, dirs_exist_ok=True)
                sys.exit(f"{name} failed; its logs are in {keep}")
    base = statistics.median(one.seconds for one in rows["bare scripts"])
    print(f"{'':18}{'seconds':>9}{'to bare':>9}{'peak MiB':>10}   (median of {runs})")
    for name, done in rows.items():
        seconds = statistics.median(one.seconds for one in done)
        peak = statistics.median(one.peak_mib for one in done)
        print(f"{name:18}{seconds:9.1f}{seconds / base:9.2f}{peak:10.0f}")


if __name__ == "__main__":
    main()
