"""`headrace status`, `why` and `logs` on recorded journals and real evidence, without a cluster."""

import json
import os
from pathlib import Path

import pytest
import yaml

from headrace.cli.cluster.finding import Found
from headrace.cli.progress import fold
from headrace.cli.render.sights import pod_rows
from headrace.cli.render.status import status_object, status_picture
from headrace.cli.render.why import why_picture
from headrace.core.states import State
from headrace.operating import seeing
from headrace.operating.causes import Facts, StepFacts, explain
from headrace.operating.seen import PodSeen, Seen
from headrace.sites.journal import process_start

REAL = Path(__file__).parents[1] / "operating" / "golden" / "why"
SITE = {"context": "kind", "namespace": "ml", "driver": "client"}


@pytest.fixture
def runs(tmp_path):
    return tmp_path / ".headrace" / "runs"


@pytest.fixture
def no_cluster(tmp_path, monkeypatch):
    """A kubeconfig whose cluster does not answer."""
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "kind",
        "clusters": [{"name": "kind", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [
            {"name": "kind", "context": {"cluster": "kind", "user": "me", "namespace": "ml"}}
        ],
    }  # fmt: skip
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(file))


def at_work(run):
    """The run with this very process as its client."""
    run.events[0] |= {"pid": os.getpid(), "pid_start": process_start(os.getpid())}
    return run


def on_site(run):
    run.events[0]["site"] = SITE
    return run


def real(name):
    (step,) = json.loads((REAL / f"{name}.json").read_text())["steps"]
    tuples = {key: tuple(step[key]) for key in ("notes", "pods", "events", "ray", "log")}
    return StepFacts(**{**step, "state": State(step["state"]), **tuples})


def test_where_a_run_of_this_machine_stands(headrace, runs, flights_at_work):
    at_work(flights_at_work).write(runs)
    said = headrace("status")
    assert said.code == 0
    assert said.lines[0].startswith("● flights is running, ")
    assert said.lines[2].split() == ["✔", "features", "spark", "21.4", "s"]
    assert said.lines[3].startswith("● train     ray    ")
    assert said.lines[3].endswith("#3 · auc 0.72 · loss 0.44")


def test_a_run_that_failed_points_to_why(headrace, runs, flights_failed):
    flights_failed.write(runs)
    said = headrace("status")
    assert said.lines[0] == "✘ flights failed after 44.5 s   run flights-20261124-081500-7c1e"
    assert said.lines[-1] == "headrace why flights-20261124-081500-7c1e"


def test_watching_a_run_that_is_over_ends_at_once_as_the_run_did(headrace, runs, flights_failed):
    flights_failed.write(runs)
    assert headrace("status", "--watch").code == 1


def test_why_a_step_failed_on_this_machine(headrace, runs, flights_failed):
    folder = flights_failed.write(runs)
    (folder / "logs" / "train.log").write_text("epoch 1\n")
    said = headrace("why")
    assert said.lines == [
        "✘ flights-20261124-081500-7c1e failed",
        "",
        "likely cause  exception",
        "  train: KeyError: 'dep_dela'",
        "  evidence",
        '    File "flights/steps.py", line 88, in train',
        '      rows = table["dep_dela"]',
        "             ~~~~~^^^^^^^^^^^^",
        "    at .headrace/runs/flights-20261124-081500-7c1e/logs/train.log",
        "",
        "headrace logs flights-20261124-081500-7c1e train",
    ]
    whole = json.loads(headrace("why", "--json").out)
    assert (whole["verdict"], whole["causes"][0]["kind"]) == ("failed", "exception")
    assert headrace("why", "latest", "features").lines[-1] == "It did not fail."


def test_that_nothing_is_wrong_is_an_answer_too(headrace, runs, flights_promoted):
    flights_promoted.write(runs)
    assert headrace("why").lines == [
        "✔ flights-20261124-081500-7c1e did not fail", "", "It did not fail.",
    ]  # fmt: skip


def test_where_the_cluster_does_not_answer_what_is_known_here_is_shown(
    headrace, runs, flights_at_work, no_cluster
):
    folder = at_work(on_site(flights_at_work)).write(runs)
    (folder / "logs" / "features.log").write_text("read 1\n")
    said = headrace("status")
    assert said.code == 0
    assert said.lines[1] == "  on kind/ml"
    assert said.lines[4].startswith("● train")
    assert "The site is not seen whole: The cluster does not answer: " in said.out
    assert "does not answer" in json.loads(headrace("status", "--json").out)["problem"]
    logs = headrace("logs", "latest", "features")
    assert (logs.code, logs.lines) == (0, ["driver │ read 1"])
    assert logs.err.startswith("Only what lies on this machine: The cluster does not answer: ")


def test_a_run_of_another_machine_needs_its_site_to_answer(headrace, no_cluster):
    said = headrace("status", "flights-1", "--on", "kind")
    assert said.code == 4
    assert said.err.startswith("error: The cluster does not answer: ")
    said = headrace("status", "flights-1", "--on", "kidn")
    assert (said.code, said.err.splitlines()[-1]) == (2, "  try: Did you mean 'kind'?")
    assert headrace("status", "-n", "ml").code == 2


def test_runs_tell_their_site_once_one_was_elsewhere(headrace, runs, flights_failed, recorded):
    recorded("digits", load="python", run="digits-1").start(1, "load").finish(2, "load").end(
        3
    ).write(runs)
    on_site(flights_failed).write(runs)
    assert [line.split()[2] for line in headrace("runs").lines[1:]] == ["here", "kind/ml"]


def test_a_cluster_run_without_its_client_is_not_called_killed(
    headrace, runs, flights_at_work, no_cluster
):
    flights_at_work.events[0]["pid"] = 2**22 + 1
    on_site(flights_at_work).write(runs)
    assert headrace("runs").lines[1].endswith("1 of 6  lost its client")
    said = headrace("runs", "latest")
    assert said.lines[0].startswith("■ flights lost its client")
    assert "  try the same command again picks it up" in said.out
    assert "headrace cancel flights-20261124-081500-7c1e ends it" in said.out


def pod(number, phase="Running", **more):
    found = {
        "name": f"app-exec-{number}", "role": "spark-executor", "number": str(number),
        "step": "features", "attempt": 0, "phase": phase, "node": "node1", "restarts": 0,
        "started": None, "cpu": "500m", "memory": "1Gi", "cause": "", "reason": "", "remedy": "",
    }  # fmt: skip
    return PodSeen(**{**found, **more})


def test_many_pods_that_are_alike_share_a_line():
    rows = pod_rows([*(pod(number) for number in range(1, 9)), pod(9, "Pending", reason="waits")])
    assert [(row.title, row.count) for row in rows] == [("8 executors", 8), ("executor 9", 1)]


def test_pods_and_what_they_wait_for_at_80_columns(drawn, flights_at_work):
    flights_at_work.events[0] |= {"site": SITE}
    step = real("unschedulable")
    pods = [{**one, "metadata": {**one["metadata"], "annotations": {
        "headrace.dev/step-path": "train"}}} for one in step.pods]  # fmt: skip
    run = Found(
        view=fold(flights_at_work.events), events=flights_at_work.events, folder=Path("r"),
        seen=seeing.see(pods, [], list(step.events)),
    )  # fmt: skip
    now = flights_at_work.events[0]["time"] + 60
    assert drawn(status_picture(run, now=now)).splitlines() == [
        "● flights is running, 1:00 so far   run flights-20261124-081500-7c1e",
        "  on kind/ml",
        "",
        "✔ features  spark     21.4 s",
        "● train     ray         0:38  #3 · auc 0.72 · loss 0.44",
        "○ evaluate  headrace",
        "○ register  headrace",
        "○ promote   headrace",
        "○ serve     headrace",
        "",
        "pods",
        "  train  step  Pending  64 cpu, 300Mi  toobig-20261124-115931-6b96-slow-1-ppd7w",
        "    finds no node with 64 cpu free (0/1 nodes are available: 1 Insufficient cpu)",
        "    try ask for less, wait until other work has ended, or add nodes with more",
        "    room",
        "",
        "headrace why flights-20261124-081500-7c1e",
    ]


def test_the_end_of_a_run_of_another_machine_is_not_made_up(drawn, flights_at_work):
    events = flights_at_work.finish(60, "train", engine="ray").events
    run = Found(view=fold(events), events=events, folder=None, seen=Seen())
    first = drawn(status_picture(run, now=0)).splitlines()[0]
    assert first == (
        "○ flights has 2 steps done, and nothing of it is at work   run flights-20261124…"
    )
    assert status_object(run)["state"] == "unknown"


PAGES = {
    "memory": [
        "✘ r failed",
        "",
        "likely cause  memory",
        "  hungry: its pod ran out of memory: its container 'step' needed more than the",
        "  300Mi that it may use",
        "  try ask for more memory than 300Mi",
        "  evidence",
        "    pod eats-20261124-115741-c6b6-hungry-1-gl7fd, container step: OOMKilled,",
        "    exit code 1, memory limit 300Mi",
        "    at",
        "    runs/eats-20261124-115741-c6b6/evidence/eats-20261124-115741-c6b6-hungry-1/e",
        "    vidence.json",
        "    The step was killed by SIGKILL.",
        "    eating",
        "    at runs/eats-20261124-115741-c6b6/logs/hungry.log",
    ],
    "deleted": [
        "✘ r failed",
        "",
        "likely cause  deleted",
        "  slow: its pod was deleted while it ran",
        "  try run again: what was finished is reused",
        "  evidence",
        "    pod waits-20261124-120527-e8b0-slow-1-k2qcr, container step: Error, exit",
        "    code 1",
        "    at",
        "    runs/waits-20261124-120527-e8b0/evidence/waits-20261124-120527-e8b0-slow-1/e",
        "    vidence.json",
        "    The step's pod failed: its container 'step' ended with exit code 1",
        "    at context testbed, namespace t-seeing, pod",
        "    waits-20261124-120527-e8b0-slow-1-k2qcr",
    ],
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_why_at_80_columns(drawn, name):
    found = explain(Facts(run="r", state=State.FAILED, steps=(real(name),)))
    assert drawn(why_picture(found, run="r")).splitlines() == PAGES[name]
