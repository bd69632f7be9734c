"""The live picture: what it shows, and that it is never taller than the terminal."""

from textwrap import dedent

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from headrace.cli.progress import fold
from headrace.cli.render.frame import frame
from headrace.cli.view import RunView, StepView
from headrace.core.states import State

START = 1_795_507_200.0


def text(block):
    return dedent(block).strip("\n")


def test_steps_at_work_show_their_latest_figures(drawn, flights_at_work):
    view = fold(flights_at_work.events)
    assert drawn(frame(view, now=START + 45, height=24)) == text("""
        ⠋ flights  run flights-20261124-081500-7c1e

        ✔ features  spark     21.4 s
        ⠋ train     ray         0:23  #3 · auc 0.72 · loss 0.44
        ○ evaluate  headrace
        ○ register  headrace
        ○ promote   headrace
        ○ serve     headrace

        0:45 · 1 of 6 steps · Ctrl-C stops it · logs: headrace logs latest -f
    """)


def test_the_epoch_stands_first_where_it_is_reported(drawn, recorded):
    run = recorded(train="ray").start(0, "train", "ray")
    run.add(1, "step_metric", step="train", metrics={"auc": 0.7, "epoch": 2}, index=1)
    lines = drawn(frame(fold(run.events), now=START + 5, height=24)).splitlines()
    assert lines[2] == "⠋ train  ray  0:05  epoch 2 · auc 0.7"


def test_a_note_and_the_attempt_stand_before_the_figures(drawn, recorded):
    run = recorded(train="ray").start(0, "train", "ray", attempt=2)
    run.add(1, "step_metric", step="train", metrics={"auc": 0.7}, index=1)
    run.add(2, "step_note", step="train", text="worker 1 died, restarting from checkpoint 3")
    lines = drawn(frame(fold(run.events), now=START + 5, height=24)).splitlines()
    assert lines[2] == (
        "⠋ train  ray  0:05  attempt 2 · worker 1 died, restarting from checkpoint 3 · #…"
    )


def test_before_the_run_starts_it_is_being_compiled(drawn):
    assert drawn(frame(RunView(), now=START, height=24)) == "⠋ compiling"


def test_after_the_end_the_record_is_what_is_waited_for(drawn, flights_promoted):
    lines = drawn(frame(fold(flights_promoted.events), now=START, height=24)).splitlines()
    assert lines[-1] == "succeeded, finishing its record in MLflow"


def test_loops_give_way_first_then_what_is_to_come_then_what_is_done(drawn, recorded):
    plan = {f"before-{number}": "python" for number in range(6)}
    plan |= {"for-loop-1/train": "ray"} | {f"after-{number}": "python" for number in range(8)}
    run = recorded("wide", **plan)
    for number in range(6):
        run.start(number, f"before-{number}")
        run.finish(number + 0.5, f"before-{number}", seconds=0.5)
    for number in range(9):
        run.start(10, f"for-loop-1/{number}/train", "ray", name=f"train[{number}]")
    for number in range(3):
        step = f"for-loop-1/{number}/train"
        run.finish(14, step, engine="ray", name=f"train[{number}]", seconds=4.0)
    failed = {"what": "ValueError: no", "exit_code": 1}
    run.finish(
        15, "for-loop-1/3/train", engine="ray", name="train[3]", seconds=5.0, state="failed",
        error=failed,
    )  # fmt: skip
    view = fold(run.events)
    assert drawn(frame(view, now=START + 20, height=16)) == text("""
        ⠋ wide  run flights-20261124-081500-7c1e

        ✔ before-0  python  0.5 s
        ✔ before-1  python  0.5 s
        ✔ before-2  python  0.5 s
        ✔ before-3  python  0.5 s
        ✔ before-4  python  0.5 s
        ✔ before-5  python  0.5 s
        ✘ train[*]  ray      0:10  3 of 9 done · 5 running · 1 failed
        ○ after-0   python
        ○ after-1   python
        ○ after-2   python
        ○ … 5 more

        0:20 · 10 of 23 steps · Ctrl-C stops it · logs: headrace logs latest -f
    """)
    assert drawn(frame(view, now=START + 20, height=9)) == text("""
        ⠋ wide  run flights-20261124-081500-7c1e

        ✔ … 5 more
        ✔ before-5  python  0.5 s
        ✘ train[*]  ray      0:10  3 of 9 done · 5 running · 1 failed
        ○ … 8 more

        0:20 · 10 of 23 steps · Ctrl-C stops it · logs: headrace logs latest -f
    """)


steps = st.lists(
    st.tuples(st.sampled_from(list(State)), st.sampled_from(["a", "b", "c[0]", "d[1][2]"])),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(steps=steps, height=st.integers(min_value=9, max_value=50))
def test_it_is_never_taller_than_the_terminal(steps, height):
    view = RunView(
        run="r",
        pipeline="p",
        state=State.RUNNING,
        started=START,
        steps=tuple(
            StepView(step=str(place), name=name, state=state, started=START)
            for place, (state, name) in enumerate(steps)
        ),
    )
    console = Console(width=80, height=height)
    lines = console.render_lines(frame(view, now=START + 5, height=height), pad=False)
    assert len(lines) < height
