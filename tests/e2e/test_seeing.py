"""Runs on a cluster as people look at them and end them: status, logs, why, cancel, clean."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.running import until
from tests.site import SiteUnderTest

from headrace.core.states import State
from headrace.sites.home import Home
from headrace.sites.journal import list_runs, read_events

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PROJECT = Path(__file__).parent / "project"
PROGRAM = "import sys; from headrace.cli.main import main; sys.exit(main())"
_PATIENCE = 180.0


class Desk:
    """One machine's home, and the command line over it."""

    def __init__(self, site: SiteUnderTest, home: Path) -> None:
        self.site = site
        self.home = Home(root=home)
        self.there = ["--on", site.context, "-n", site.namespace]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A command under way."""
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words, "--home", str(self.home.root)],
            cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip

    def say(self, *words: str) -> tuple[int, str]:
        """A command's exit code and what it wrote."""
        process = self.start(*words)
        out, errors = process.communicate(timeout=300)
        return process.returncode, out or errors

    def asked(self, *words: str) -> Any:
        """What a command says to programs."""
        code, out = self.say(*words, "--json")
        assert code == 0, out
        return json.loads(out)

    def run(self, pipeline: str, *options: str) -> subprocess.Popen[str]:
        """A run under way, driven from here."""
        return self.start(
            "run", f"troubles.py:{pipeline}", *self.there, "--direct", "--quiet", *options
        )

    def pod(self) -> dict[str, Any] | None:
        """The one pod of the newest run's step, once it runs."""
        if not list_runs(self.home):
            return None
        (step,) = self.asked("status")["steps"]
        running = [one for one in step["pods"] if one["phase"] == "Running"]
        return running[0] if running else None


@pytest.fixture
def desk(site: SiteUnderTest, tmp_path: Path) -> Desk:
    return Desk(site, tmp_path / "home")


def test_a_run_is_seen_from_here_and_from_elsewhere_and_cancelled_once(desk, site, tmp_path):
    client = desk.run("waits")
    pod = until(desk.pod, _PATIENCE, "the pod runs")
    assert (pod["role"], pod["reason"], pod["memory"] != "") == ("step", "", True)
    run = list_runs(desk.home)[0].run_id
    other = Desk(site, tmp_path / "other")
    there = other.asked("status", run[:-4], *other.there)
    assert (there["run"], there["state"], there["begun_here"]) == (run, "running", False)
    assert [one["pods"][0]["name"] for one in there["steps"]] == [pod["name"]]
    assert desk.asked("why")["verdict"] == "running"

    def lines() -> list[str]:
        _, out = other.say("logs", run, "--on", site.context, "--namespace", site.namespace)
        return [one for one in out.splitlines() if one.startswith("at ")]

    until(lines, 60, "the step's lines are there")
    code, out = desk.say("cancel", run)
    assert (code, out) == (0, f"Cancelled run {run}.\n")
    assert client.wait(10) == 130
    assert desk.say("cancel", run) == (0, f"Run {run} was over already: cancelled.\n")
    until(lambda: not site.of_run(run), 60, "its objects are gone")
    assert other.asked("status", run, *other.there)["state"] == "cancelled"


def test_logs_are_followed_until_the_run_is_over(desk, site):
    client = desk.run("waits", "-p", "seconds=12", "--no-cache")
    until(desk.pod, _PATIENCE, "the pod runs")
    code, out = desk.say("logs", "latest", "-f")
    assert client.wait(60) == 0
    assert code == 0
    assert [one for one in out.splitlines() if one.startswith("at ")] == [
        f"at {second}" for second in range(12)
    ]


def test_a_run_without_a_client_is_seen_and_ended(desk, site):
    client = desk.run("waits", "-p", "seconds=300", "--no-cache")
    pod = until(desk.pod, _PATIENCE, "the pod runs")
    client.send_signal(signal.SIGKILL)
    client.communicate()
    seen = desk.asked("status")
    run = seen["run"]
    assert (seen["state"], seen["steps"][0]["state"]) == ("killed", "running")
    assert seen["steps"][0]["pods"][0]["name"] == pod["name"]
    assert desk.asked("why")["text"] == "Its client went without a word; its pods go on."
    kept = desk.asked("clean", *desk.there, "--dry-run")["kept"]
    assert {"what": run, "why": "it goes on without a client; headrace cancel ends it"} in kept
    said = desk.asked("cancel", "latest")
    assert (said["state"], said["removed"]["jobs"], said["recorded"]) == ("cancelled", 1, True)
    assert site.of_run(run) == []
    assert list_runs(desk.home)[0].state is State.CANCELLED


@pytest.mark.parametrize(
    ("pipeline", "kind", "says"),
    [
        ("raises", "exception", "KeyError: 'b'"),
        ("exits", "crash", "The step ended with exit code 7."),
    ],
)
def test_why_a_run_failed(desk, pipeline, kind, says):
    client = desk.run(pipeline)
    client.communicate(timeout=_PATIENCE)
    assert client.returncode == 1
    found = desk.asked("why")
    first = found["causes"][0]
    assert (found["verdict"], first["kind"], first["text"]) == ("failed", kind, says)


def test_a_step_that_ran_out_of_memory_is_told_to_ask_for_more(desk):
    client = desk.run("eats")
    client.communicate(timeout=_PATIENCE)
    assert client.returncode == 1
    first = desk.asked("why")["causes"][0]
    # What the node says of the container may come after what the step's pod says of itself.
    assert first["kind"] in ("memory", "killed")
    assert "ask for more" in first["remedy"]


def test_why_a_run_waits(desk, site):
    client = desk.run("toobig")
    found = until(lambda: _waiting(desk), _PATIENCE, "it is known why the run waits")
    assert found["causes"][0]["kind"] == "unschedulable"
    assert "640 cpu" in found["causes"][0]["text"]
    assert desk.say("cancel", "latest")[0] == 0
    assert client.wait(60) == 130


def _waiting(desk: Desk) -> Any:
    if not list_runs(desk.home):
        return None
    found = desk.asked("why")
    return found if found["verdict"] == "waiting" else None


def test_a_pod_that_somebody_deletes_is_told_as_that(desk, site):
    client = desk.run("waits", "-p", "seconds=301", "--no-cache")
    pod = until(desk.pod, _PATIENCE, "the pod runs")
    site.cluster.delete("pods", pod["name"])
    client.communicate(timeout=_PATIENCE)
    assert client.returncode == 1
    assert desk.asked("why")["causes"][0]["kind"] == "deleted"


def test_all_that_a_run_left_on_its_site_can_be_removed(desk, site):
    client = desk.run("waits", "-p", "seconds=1", "--no-cache")
    client.communicate(timeout=_PATIENCE)
    run = list_runs(desk.home)[0].run_id
    folder = site.store.uri("runs", run)
    assert site.store.listing(folder)
    removed = desk.asked("clean", *desk.there, "--run", run, "--yes")["removed"]
    assert {one["kind"] for one in removed} >= {"run record", "cache entry"}
    assert site.store.listing(folder) == {}
    events = read_events(desk.home.run(run))
    assert events[-1]["type"] == "run_finished"
