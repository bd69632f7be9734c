"""The last word on a run: whole pictures of each way that a run can end."""

from pathlib import Path
from textwrap import dedent

import pytest

from headrace.cli.progress import fold
from headrace.cli.render.summary import Surroundings, summary
from headrace.core.states import State


@pytest.fixture
def picture(drawn):
    def draw(run, *, alive=True, height=None, calls=(), width=80):
        around = Surroundings(
            folder=Path(".headrace/runs") / run.run,
            now=run.events[0]["time"] + 99,
            height=height,
            answering=["http://127.0.0.1:43121"] if calls else [],
            calls=calls,
        )
        return drawn(summary(fold(run.events, alive=alive), around), width=width)

    return draw


def text(block):
    return dedent(block).strip("\n")


def test_a_run_that_went_well(picture, flights_promoted):
    calls = ["curl -s http://127.0.0.1:43121/invocations \\", f"  -d '{{\"a\": {'1' * 90}}}'"]
    assert picture(flights_promoted, calls=calls) == text(f"""
        ✔ flights succeeded in 1 min 08 s   run flights-20261124-081500-7c1e

        ✔ features  spark     21.4 s
        ✔ train     ray       31.1 s  auc 0.721
        ✔ evaluate  headrace   5.2 s  auc 0.7123 · average_precision 0.4102
        ✔ register  headrace   2.7 s  flight-delays/3
        ✔ promote   headrace   0.4 s  champion is flight-delays/3
        ✔ serve     headrace   6.3 s  http://127.0.0.1:43121

        metrics   auc 0.7123 · average_precision 0.4102 · brier 0.1311
                  log_loss 0.4205 · ece 0.0121  evaluate
                  auc of champion 0.7081 · rate 0.6402 · logistic 0.6893
        model     flight-delays version 3  models:/flight-delays/3
        gate      passed: auc 0.712 >= champion.auc 0.708
                  flight-delays/3 is champion now, after version 2
        endpoint  http://127.0.0.1:43121
        MLflow    headrace open
        logs      .headrace/runs/flights-20261124-081500-7c1e/logs

        curl -s http://127.0.0.1:43121/invocations \\
          -d '{{"a": {"1" * 90}}}'
    """)


def test_an_endpoint_that_does_not_run_any_more_says_how_to_bring_it_back(
    picture, flights_promoted
):
    assert (
        "endpoint  http://127.0.0.1:43121 was stopped: headrace serve flight-delays"
        in picture(flights_promoted).splitlines()
    )


def test_it_fits_a_small_screen(picture, flights_promoted):
    assert len(picture(flights_promoted, height=23).splitlines()) <= 23


def test_reused_steps_say_whose_result_stands_in(picture, recorded):
    run = recorded(load="python", train="ray")
    run.finish(0.1, "load", state="reused", reused_from="flights-1", seconds=0.0)
    run.start(0.2, "train", "ray").finish(9.2, "train", engine="ray", seconds=9.0).end(9.3)
    assert picture(run) == text("""
        ✔ flights succeeded in 9.3 s, 1 step reused   run flights-20261124-081500-7c1e

        ↺ load   python         reused from flights-1
        ✔ train  ray     9.0 s

        MLflow    headrace open
        logs      .headrace/runs/flights-20261124-081500-7c1e/logs
    """)


def test_a_loop_is_drawn_together_where_the_screen_is_small(picture, recorded):
    run = recorded("digits", **{"for-loop-1/train": "python"}, pick="python")
    for number in range(12):
        step = f"for-loop-1/{number}/train"
        run.start(1 + number, step, name=f"train[{number}]")
        run.finish(3 + number, step, name=f"train[{number}]", seconds=2.0, metrics={"loss": 0.5})
    run.start(20, "pick").finish(21, "pick", seconds=1.0).end(21)
    assert picture(run, height=12) == text("""
        ✔ digits succeeded in 21.0 s   run flights-20261124-081500-7c1e

        ✔ train[*]  python  13.0 s  12 of 12 done
        ✔ pick      python   1.0 s

        MLflow    headrace open
        logs      .headrace/runs/flights-20261124-081500-7c1e/logs
    """)


def test_loops_stand_together_by_their_numbers(picture, recorded):
    run = recorded("digits", **{"for-loop-1/train": "python"})
    for number in (10, 2, 0):
        run.start(1, f"for-loop-1/{number}/train", name=f"train[{number}]")
    assert picture(run) == text("""
        ● digits is running, 1:39 so far   run flights-20261124-081500-7c1e

        ● train[0]   python  1:38
        ● train[2]   python  1:38
        ● train[10]  python  1:38

        MLflow    headrace open
        logs      .headrace/runs/flights-20261124-081500-7c1e/logs
    """)


def test_a_failed_step_shows_the_users_own_lines_and_the_way_on(picture, flights_failed):
    assert picture(flights_failed) == text("""
        ✘ flights failed after 44.5 s   run flights-20261124-081500-7c1e

        ✔ features  spark     21.4 s
        ✘ train     ray       22.2 s  attempt 2 · KeyError: 'dep_dela'
        ○ evaluate  headrace
        ○ register  headrace
        ○ promote   headrace
        ○ serve     headrace

        ✘ train failed  ray, after 22.2 s, attempt 2
          File "flights/steps.py", line 88, in train
            rows = table["dep_dela"]
                   ~~~~~^^^^^^^^^^^^
          KeyError: 'dep_dela'
          log .headrace/runs/flights-20261124-081500-7c1e/logs/train.log
              headrace logs flights-20261124-081500-7c1e train

        MLflow    headrace open
        logs      .headrace/runs/flights-20261124-081500-7c1e/logs
        again     the same command continues after 1 complete step
    """)


def test_of_many_failed_steps_the_first_are_told_in_full(picture, recorded):
    run = recorded("digits", **{"for-loop-1/train": "python"})
    error = {"what": "ValueError: no", "where": [], "hint": "", "exit_code": 1, "traceback": ""}
    for number in range(4):
        step = f"for-loop-1/{number}/train"
        run.start(1, step, name=f"train[{number}]", log=None)
        run.finish(2, step, name=f"train[{number}]", state="failed", seconds=1.0, error=error)
    run.end(2, State.FAILED, error=error)
    assert picture(run) == text("""
        ✘ digits failed after 2.0 s   run flights-20261124-081500-7c1e

        ✘ train[0]  python  1.0 s  ValueError: no
        ✘ train[1]  python  1.0 s  ValueError: no
        ✘ train[2]  python  1.0 s  ValueError: no
        ✘ train[3]  python  1.0 s  ValueError: no

        ✘ train[0] failed  python, after 1.0 s
          ValueError: no
        ✘ train[1] failed  python, after 1.0 s
          ValueError: no
        also failed: train[2], train[3]

        MLflow    headrace open
        logs      .headrace/runs/flights-20261124-081500-7c1e/logs
    """)


def test_a_gate_that_said_no(picture, recorded):
    error = {
        "what": "Version 4 of flight-delays did not pass the gate 'auc >= champion.auc': "
        "auc 0.701 < champion.auc 0.712 (champion measured on the same data).",
        "where": ["models:/flight-delays/4"],
        "hint": "version 3 remains the champion",
        "kind": "GateFailed",
        "exit_code": 3,
        "traceback": "",
    }
    run = recorded(register="headrace", promote="headrace", serve="headrace")
    run.start(1, "register", "headrace")
    outputs = {"version": "models:/flight-delays/4"}
    run.finish(3, "register", engine="headrace", seconds=2.0, outputs=outputs)
    run.start(3, "promote", "headrace")
    run.finish(4, "promote", engine="headrace", seconds=1.0, state="failed", error=error)
    run.finish(4, "serve", engine="headrace", state="skipped", seconds=0.0, reason="promote failed")
    run.end(4.1, State.FAILED, error=error)
    assert picture(run, width=90) == text("""
        ✘ flights was stopped by its gate after 4.1 s   run flights-20261124-081500-7c1e

        ✔ register  headrace  2.0 s  flight-delays/4
        ✘ promote   headrace  1.0 s  gate not passed
        – serve     headrace         promote failed

          Version 4 of flight-delays did not pass the gate 'auc >= champion.auc': auc 0.701 <
          champion.auc 0.712 (champion measured on the same data).
          at  models:/flight-delays/4
          try version 3 remains the champion

        model     flight-delays version 4  models:/flight-delays/4
        MLflow    headrace open
        logs      .headrace/runs/flights-20261124-081500-7c1e/logs
    """)
    assert fold(run.events).exit_code == 3


def test_a_cancelled_run_says_how_to_go_on(picture, flights_at_work):
    flights_at_work.finish(40, "train", engine="ray", state="cancelled", seconds=18.2)
    error = {"what": "The run was cancelled.", "exit_code": 130, "kind": "RunCancelled"}
    flights_at_work.end(40.2, State.CANCELLED, error=error)
    assert picture(flights_at_work, width=70) == text("""
        ■ flights was cancelled after 40.2 s   run flights-20261124-081500-7c…

        ✔ features  spark     21.4 s
        ■ train     ray       18.2 s  cancelled
        ○ evaluate  headrace
        ○ register  headrace
        ○ promote   headrace
        ○ serve     headrace

        MLflow    headrace open
        logs      .headrace/runs/flights-20261124-081500-7c1e/logs
        again     the same command continues after 1 complete step
    """)


def test_a_killed_run_says_what_became_of_it(picture, flights_at_work):
    assert picture(flights_at_work, alive=False, width=90) == text("""
        ■ flights was killed   run flights-20261124-081500-7c1e

        ✔ features  spark     21.4 s
        ■ train     ray               was at work when the run was killed
        ○ evaluate  headrace
        ○ register  headrace
        ○ promote   headrace
        ○ serve     headrace

        The run (process 4242) ended without a word: it was killed, or the power went.
          try headrace clean stops whatever it may have left running

        MLflow    headrace open
        logs      .headrace/runs/flights-20261124-081500-7c1e/logs
        again     the same command continues after 1 complete step
    """)
