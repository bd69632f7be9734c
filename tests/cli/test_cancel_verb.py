"""`headrace cancel`: runs that are over, at work, without a client, or not there."""

import json
import subprocess
import sys
import textwrap
import time

import pytest

from headrace.core.states import State
from headrace.sites.home import Home
from headrace.sites.journal import list_runs


@pytest.fixture
def runs(tmp_path):
    return tmp_path / ".headrace" / "runs"


def test_a_run_that_is_over_stays_as_it_is(headrace, runs, flights_failed):
    flights_failed.write(runs)
    said = headrace("cancel", "latest")
    assert (said.code, said.out) == (0, f"Run {flights_failed.run} was over already: failed.\n")
    assert json.loads(headrace("cancel", "flights", "--json").out) == {
        "run": flights_failed.run, "state": "failed", "was_over": True, "removed": {},
    }  # fmt: skip


def test_a_run_that_is_not_there_names_near_misses(headrace, runs, flights_failed):
    flights_failed.write(runs)
    said = headrace("cancel", "fligths-20261124-081500-7c1e")
    assert said.code == 2
    assert f"Did you mean '{flights_failed.run}'?" in said.err


def test_a_run_whose_client_is_gone_is_closed_once(headrace, runs, flights_at_work):
    flights_at_work.events[0]["pid"] = 2**22 + 1
    flights_at_work.write(runs)
    said = headrace("cancel", "latest")
    assert (said.code, said.out.partition(";")[0].rstrip(".\n")) == (
        0, f"Cancelled run {flights_at_work.run}",
    )  # fmt: skip
    again = headrace("cancel", "latest")
    assert again.out == f"Run {flights_at_work.run} was over already: cancelled.\n"
    assert headrace("runs").lines[1].startswith("■ flights-20261124-081500-7c1e")


PROGRAM = "import sys; from headrace.cli.main import main; sys.exit(main())"
PIPELINE = """
    import time
    from kfp import dsl
    import headrace as hr

    @hr.step
    def slow(n: int) -> int:
        time.sleep(60)
        return n

    @dsl.pipeline(name="waits")
    def waits(n: int = 1) -> int:
        return slow(n=n).output
"""


def test_a_client_at_work_ends_its_run_by_itself(headrace, tmp_path):
    (tmp_path / "waits.py").write_text(textwrap.dedent(PIPELINE))
    client = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "run", "waits.py", "--quiet"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    home = Home(root=tmp_path / ".headrace")
    try:
        until = time.monotonic() + 60
        while not [one for one in list_runs(home) if one.state is State.RUNNING]:
            assert time.monotonic() < until, client.communicate()
            time.sleep(0.1)
        (run,) = list_runs(home)
        said = headrace("cancel", "waits", "--home", str(home.root))
        assert (said.code, said.out) == (0, f"Cancelled run {run.run_id}.\n")
        assert client.wait(10) == 130
        assert list_runs(home)[0].state is State.CANCELLED
    finally:
        client.kill()
        client.communicate()
