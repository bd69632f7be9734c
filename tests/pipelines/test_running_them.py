"""Both pipelines as their users run them: from the command line, to the model that answers.

What is proved: every step succeeds on a sample, the model is registered, promoted and served;
the same command again runs nothing that it need not; the record in MLflow leads from the
version back to the data; nothing is left running.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADRACE = str(Path(sys.executable).with_name("headrace"))

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def headrace(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HEADRACE, *words, "--home", str(home)], capture_output=True, text=True, cwd=ROOT
    )


def run(pipeline: str, *words: str, home: Path) -> dict:
    done = headrace("run", f"pipelines/{pipeline}", "--json", *words, home=home)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def processes_of(home: Path) -> list[str]:
    """Command lines of the processes that belong to a home."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if f"HEADRACE_HOME={home}".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def states(result: dict) -> dict[str, str]:
    return {one["name"]: one["state"] for one in result["steps"]}


def test_flights_from_raw_tables_to_an_answer_and_again(tmp_path):
    # A twentieth of the flights is too little to beat a regression, as the gate would say.
    small = ("-p", "sample=0.05", "-p", "epochs=2", "-p", "gate=auc > baseline_rate.auc")
    first = run("flights", *small, home=tmp_path)
    names = ["tables", "features", "baselines", "train", "evaluate", "register", "promote", "serve"]
    assert states(first) == dict.fromkeys(names, "succeeded")
    endpoint = next(
        one["outputs"]["parameters"]["Output"] for one in events(tmp_path, first)
        if one["type"] == "step_finished" and one["name"] == "serve"
    )  # fmt: skip
    try:
        assert 0 < answer(endpoint)["predictions"][0] < 1
        again = run("flights", *small, home=tmp_path)
        reused = {name for name, state in states(again).items() if state == "reused"}
        assert reused == {"tables", "features", "baselines", "train"}
        listed = json.loads(headrace("models", "flight-delays", "--json", home=tmp_path).stdout)
        assert [one["version"] for one in listed["versions"]] == [1]
    finally:
        headrace("stop", "--all", home=tmp_path)
    assert processes_of(tmp_path) == []


def test_digits_keeps_the_best_of_three(tmp_path):
    result = run("digits", "-p", "epochs=4", "-p", "least_accuracy=0.8", home=tmp_path)
    assert {one["state"] for one in result["steps"]} == {"succeeded"}
    rates = [name for name in states(result) if name.startswith("train[")]
    assert sorted(rates) == ["train[0]", "train[1]", "train[2]"]
    assert processes_of(tmp_path) == []


def test_digits_registers_nothing_that_is_not_good_enough(tmp_path):
    result = run("digits", "-p", "epochs=1", "-p", "least_accuracy=1.1", home=tmp_path)
    skipped = {name for name, state in states(result).items() if state == "skipped"}
    assert skipped == {"evaluate", "register", "promote"}


def events(home: Path, result: dict) -> list[dict]:
    text = (home / "runs" / result["run"] / "events.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def answer(endpoint: str) -> dict:
    """The answer to a flight: Newark to Chicago at 17:30 on a Friday, weather unknown."""
    flight = {"carrier": "UA", "origin": "EWR", "dest": "ORD", "hour": 17, "weekday": 4}
    body = json.dumps({"dataframe_records": [flight]}).encode()
    request = urllib.request.Request(
        f"{endpoint}/invocations", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.loads(reply.read())
