"""What a step costs beyond its own work: a chain of twenty trivial steps.

Three ways: `headrace run`, KFP's own local runner, and twenty bare Python processes. Headrace's
seconds hold the import of MLflow and the whole record of the run in it, which the others lack.

    python bench/steps.py [RUNS]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from measuring import machine, measure

from headrace.sites.journal import read_events

STEPS = 20

PIPELINE = f"""
from kfp import dsl
import headrace as hr

@hr.step(cache=False)
def add(value: int) -> int:
    return value + 1

@dsl.pipeline(name="chain")
def chain(value: int = 0):
    for _ in range({STEPS}):
        value = add(value=value).output
"""

KFP_LOCAL = f"""
from kfp import dsl, local

local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root="outputs")

@dsl.component(install_kfp_package=False)
def add(value: int) -> int:
    return value + 1

@dsl.pipeline(name="chain")
def chain(value: int = 0):
    for _ in range({STEPS}):
        value = add(value=value).output

chain()
"""

BARE = f"""
import subprocess, sys
value = 0
for _ in range({STEPS}):
    done = subprocess.run([sys.executable, "-c", f"print({{value}} + 1)"], capture_output=True)
    value = int(done.stdout)
assert value == {STEPS}
"""


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(machine())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "pipeline.py").write_text(PIPELINE)
        (folder / "kfp_local.py").write_text(KFP_LOCAL)
        (folder / "bare.py").write_text(BARE)
        headrace = str(Path(sys.executable).with_name("headrace"))
        ways = {
            "headrace run": [headrace, "run", ".", "--home", str(folder / "home")],
            "kfp.local": [sys.executable, "-W", "ignore", "kfp_local.py"],
            "bare processes": [sys.executable, "bare.py"],
        }
        print(f"{'':16}{'seconds':>9}{'per step':>10}{'peak MiB':>10}   (median of {runs})")
        for name, command in ways.items():
            done = [measure(command, log=folder / "log", cwd=folder) for _ in range(runs)]
            if any(one.code for one in done):
                sys.exit(f"{name} failed:\n{(folder / 'log').read_text()[-2000:]}")
            seconds = statistics.median(one.seconds for one in done)
            peak = statistics.median(one.peak_mib for one in done)
            print(f"{name:16}{seconds:9.2f}{seconds / STEPS:10.3f}{peak:10.0f}")
        print(
            f"in Headrace, from one step's end to the next one's: {between(folder / 'home'):.3f} s"
        )


def between(home: Path) -> float:
    """Seconds from a step's end to the next step's, as the journals have it."""
    times = [
        [one["time"] for one in read_events(run) if one["type"] == "step_finished"]
        for run in (home / "runs").iterdir()
    ]
    return statistics.median((ends[-1] - ends[0]) / (len(ends) - 1) for ends in times)


if __name__ == "__main__":
    main()
