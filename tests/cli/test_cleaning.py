"""`headrace clean`: what goes, what stays and why, and that nothing goes unasked."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.cli.cleaning.inventory import take_stock
from headrace.cli.cleaning.leftovers import find_leftovers, stop_leftovers
from headrace.cli.cleaning.plan import Wish, make_plan
from headrace.core.states import State
from headrace.sites.home import Home
from headrace.sites.journal import process_start

DAY = 86_400.0
NOW = 1_795_507_200.0 + 10 * DAY


@pytest.fixture
def home(tmp_path):
    return Home(root=tmp_path / ".headrace").ensure()


@pytest.fixture
def result(home):
    """Makes a step's outputs: a file, and the manifest and cache entry if it is complete."""

    def make(run, step, *, complete=True):
        folder = home.artifacts / run / step
        folder.mkdir(parents=True)
        (folder / "table").write_text("x" * 5000)
        if complete:
            (folder / "manifest.json").write_text("{}")
            home.cache.mkdir(exist_ok=True)
            entry = {"manifest": f"artifacts/{run}/{step}/manifest.json"}
            (home.cache / f"{run}-{step.replace('/', '-')}.json").write_text(json.dumps(entry))
        return {"name": "table", "type": "system.Dataset", "uri": str(folder / "table")}

    return make


@pytest.fixture
def run(home, recorded):
    """Writes a run's journal whose steps made or read the given artifacts."""

    def make(name, day, *artifacts, version="", code="", over=True, digest=None):
        made = recorded("flights", run=name, load="python")
        for event in made.events:
            event["time"] += day * DAY
            event["code_digest"] = f"sha256:{code}"
        outputs = {"version": f"models:/delays/{version}"} if version else {}
        made.finish(day * DAY + 1, "load", outputs=outputs)
        made.events[-1]["outputs"]["artifacts"] = {"table": list(artifacts)}
        if over:
            made.end(day * DAY + 2, State.SUCCEEDED)
        made.write(home.runs)
        return made

    return make


def names(plan, home):
    return [(one.kind.value, one.path.relative_to(home.root).as_posix()) for one in plan.removals]


def kept(plan, home):
    return {one.path.relative_to(home.root).as_posix(): one.why for one in plan.kept}


def test_unasked_only_what_nobody_can_use_goes(home, result, run):
    run("r1", 0, result("r1", "load"))
    result("r1", "train", complete=False)
    result("gone", "load", complete=True)
    (home.cache / "broken.json").write_text("{")
    plan = make_plan(take_stock(home), Wish(), {}, now=NOW)
    assert names(plan, home) == [
        ("cache entry", "cache/broken.json"),
        ("cache entry", "cache/gone-load.json"),
        ("result", "artifacts/gone/load"),
        ("half-written result", "artifacts/r1/train"),
    ]


def test_old_runs_go_with_their_results_and_cache_entries(home, result, run):
    run("r1", 0, result("r1", "load"))
    run("r2", 5, result("r2", "load"))
    plan = make_plan(take_stock(home), Wish(before=NOW - 6 * DAY), {}, now=NOW)
    assert names(plan, home) == [
        ("cache entry", "cache/r1-load.json"),
        ("result", "artifacts/r1/load"),
        ("run", "runs/r1"),
    ]
    assert plan.notes == (
        "1 result can no longer be reused: its step will run again.",
        "MLflow keeps its own record of the runs: headrace open.",
    )


def test_what_a_run_that_stays_has_reused_stays_too(home, result, run):
    shared, own = result("r1", "load"), result("r1", "for-loop-1/0/train")
    run("r1", 0, shared, own)
    run("r2", 5, shared)
    plan = make_plan(take_stock(home), Wish(keep=1), {}, now=NOW)
    assert names(plan, home) == [
        ("cache entry", "cache/r1-for-loop-1-0-train.json"),
        ("result", "artifacts/r1/for-loop-1/0/train"),
        ("run", "runs/r1"),
    ]
    assert kept(plan, home) == {"artifacts/r1/load": "run r2 uses it"}


def test_the_run_behind_an_alias_stays_and_another_versions_is_told(home, result, run):
    run("r1", 0, result("r1", "load"), version="1")
    run("r2", 1, result("r2", "load"), version="2")
    plan = make_plan(take_stock(home), Wish(keep=0), {"delays/2": ("champion",)}, now=NOW)
    assert kept(plan, home) == {"runs/r2": "it made delays/2, which is champion"}
    assert ("run", "runs/r1") in names(plan, home)
    assert plan.notes[1] == (
        "delays/1 stays in the registry, but the data it came from will be gone."
    )


def test_as_many_runs_as_asked_for_are_kept_of_each_pipeline(home, run, recorded):
    for day in range(3):
        run(f"r{day}", day)
    other = recorded("digits", run="d0", load="python").end(1)
    other.write(home.runs)
    plan = make_plan(take_stock(home), Wish(keep=1), {}, now=NOW)
    assert names(plan, home) == [("run", "runs/r0"), ("run", "runs/r1")]


def test_code_goes_with_the_last_run_that_used_it(home, run):
    for digest in ("aa", "bb", "cc"):
        (home.code / digest).mkdir(parents=True)
    run("r0", 0, code="aa")
    run("r1", 1, code="bb")
    run("r2", 2, code="bb")
    plan = make_plan(take_stock(home), Wish(keep=1), {}, now=NOW)
    # cc was compiled and has not run yet.
    assert [name for kind, name in names(plan, home) if kind == "code bundle"] == ["code/aa"]


def test_forgetting_the_cache_keeps_the_results(home, result, run):
    run("r1", 0, result("r1", "load"))
    plan = make_plan(take_stock(home), Wish(cache=True), {}, now=NOW)
    assert names(plan, home) == [("cache entry", "cache/r1-load.json")]
    assert plan.notes == ("Every step will run again: no earlier result is found any more.",)


def test_a_dry_run_shows_and_removes_nothing(headrace, home, result, run):
    run("r1", 0, result("r1", "load"))
    before = sorted(home.root.rglob("*"))
    said = headrace("clean", "--keep", "0", "--dry-run")
    assert said.code == 0
    assert [line.split("  ")[0] for line in said.lines] == [
        "remove",
        "1 cache entry",
        "1 result",
        "1 run",
        "",
        "1 result can no longer be reused: its step will run again.",
        "MLflow keeps its own record of the runs: headrace open.",
        said.lines[-1],
    ]
    assert said.lines[-1].startswith("Would free ")
    assert sorted(home.root.rglob("*")) == before


def test_where_nobody_can_agree_nothing_goes(headrace, home, result, run, monkeypatch):
    run("r1", 0, result("r1", "load"))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    said = headrace("clean", "--keep", "0")
    assert said.code == 2
    assert said.err == "error: Nothing was removed: nobody is there to agree.\n  try: add --yes\n"
    assert (home.artifacts / "r1" / "load" / "manifest.json").exists()


def test_with_a_yes_it_goes_and_leaves_no_empty_folders(headrace, home, result, run):
    shared = result("r1", "load")
    run("r1", 0, shared, result("r1", "for-loop-1/0/train"))
    run("r2", 1, shared)
    said = headrace("clean", "--keep", "1", "--yes", "--json")
    told = json.loads(said.out)
    assert (said.code, told["done"]) == (0, True)
    assert [one["kind"] for one in told["removed"]] == ["cache entry", "result", "run"]
    assert sorted(one.name for one in (home.artifacts / "r1").iterdir()) == ["load"]
    assert not (home.runs / "r1").exists()
    assert headrace("clean").out == f"Nothing to clean in {home.root}.\n"


def test_everything_is_the_home_but_not_what_others_put_there(headrace, home, result, run):
    run("r1", 0, result("r1", "load"))
    (home.root / "notes.txt").write_text("mine")
    said = headrace("clean", "--all", "--yes")
    assert said.code == 0
    assert sorted(one.name for one in home.root.iterdir()) == [".gitignore", "notes.txt"]


def test_while_a_run_is_at_work_no_run_goes(headrace, home, run):
    busy = run("r1", 0, over=False)
    busy.events[0] |= {"pid": os.getpid(), "pid_start": process_start(os.getpid())}
    (home.runs / "r1" / "events.jsonl").write_text(json.dumps(busy.events[0]) + "\n")
    said = headrace("clean", "--all", "--yes")
    assert said.code == 4
    assert said.err.startswith("error: Run r1 is at work and may need what would go.\n")
    assert headrace("clean").code == 0


def test_all_cannot_be_combined(headrace, home):
    assert headrace("clean", "--all", "--keep", "3").code == 2


@pytest.fixture
def left_behind(home):
    """Starts processes that belong to a run, in the two ways by which they are told."""
    started = []

    def start(run, *, by):
        log = home.runs / run / "logs" / "step.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "HEADRACE_HOME": str(home.root), "HEADRACE_RUN": run}
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(60)"],
                env=environment if by == "environment" else None,
                stdout=out if by == "log" else None,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="told by /proc")
def test_processes_of_killed_runs_are_found_and_stopped_and_no_others(home, left_behind):
    marked = left_behind("dead", by="environment")
    logging = left_behind("dead", by="log")
    alive = left_behind("alive", by="environment")
    time.sleep(0.2)
    found = find_leftovers(home, ["dead"])
    assert {one.pid for one in found} == {marked.pid, logging.pid}
    assert {one.run for one in found} == {"dead"}
    stop_leftovers(found)
    assert (marked.wait(5), logging.wait(5)) == (-15, -15)
    assert alive.poll() is None
