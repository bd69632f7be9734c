"""How quickly the command line answers: `--help`, and compiling flights.

python bench/startup.py [RUNS]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from measuring import machine, measure

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    headrace = str(Path(sys.executable).with_name("headrace"))
    print(machine())
    with tempfile.TemporaryDirectory() as place:
        target = str(Path(place) / "flights.yaml")
        commands = {
            "headrace --help": [headrace, "--help"],
            "compile flights": [headrace, "compile", str(ROOT / "pipelines/flights"), "-o", target],
        }
        print(f"{'':18}{'seconds':>9}   (median of {runs})")
        for name, command in commands.items():
            done = [measure(command, log=Path(place) / "log") for _ in range(runs)]
            if any(one.code for one in done):
                sys.exit(f"{name} failed:\n{(Path(place) / 'log').read_text()[-2000:]}")
            print(f"{name:18}{statistics.median(one.seconds for one in done):9.3f}")


if __name__ == "__main__":
    main()
