"""A journal folds into one view: order, attempts, loops, and what a killed run looks like."""

from headrace.cli.progress import fold
from headrace.core.states import State


def states(view):
    return [(step.name, step.state) for step in view.steps]


def test_steps_stand_in_order_of_start_and_the_planned_ones_behind_them(recorded):
    run = recorded(load="python", left="python", right="python", join="python")
    run.start(1, "load").finish(2, "load").start(3, "right").start(4, "left")
    assert states(fold(run.events)) == [
        ("load", State.SUCCEEDED),
        ("right", State.RUNNING),
        ("left", State.RUNNING),
        ("join", State.PENDING),
    ]


def test_a_second_attempt_keeps_its_place_and_both_logs(recorded):
    run = recorded(load="python", join="python")
    run.start(1, "load", log="logs/load.log").start(2, "join")
    run.add(3, "step_metric", step="load", metrics={"loss": 0.5}, index=1)
    run.start(4, "load", attempt=2, log="logs/load.2.log")
    step = fold(run.events).steps[0]
    assert (step.name, step.attempt, dict(step.live)) == ("load", 2, {})
    assert step.logs == ("logs/load.log", "logs/load.2.log")


def test_the_iterations_of_a_loop_take_the_place_of_its_planned_step(recorded):
    run = recorded(**{"for-loop-1/train": "ray"}, pick="python")
    run.start(1, "for-loop-1/0/train", name="train[0]")
    run.start(1, "for-loop-1/1/train", name="train[1]")
    assert [step.step for step in fold(run.events).steps] == [
        "for-loop-1/0/train",
        "for-loop-1/1/train",
        "pick",
    ]


def test_a_loop_over_nothing_leaves_nothing_behind_in_a_run_that_went_well(recorded):
    run = recorded(load="python", **{"for-loop-1/train": "ray"})
    run.start(1, "load").finish(2, "load").end(3)
    assert states(fold(run.events)) == [("load", State.SUCCEEDED)]


def test_a_metric_replaces_the_note_before_it(recorded):
    run = recorded(train="ray").start(1, "train", "ray")
    run.add(2, "step_note", step="train", text="worker 1 died, restarting from checkpoint 3")
    assert fold(run.events).steps[0].note == "worker 1 died, restarting from checkpoint 3"
    run.add(3, "step_metric", step="train", metrics={"auc": 0.7}, index=4)
    step = fold(run.events).steps[0]
    assert (step.note, dict(step.live), step.index) == ("", {"auc": 0.7}, 4)


def test_without_its_process_and_without_an_end_a_run_was_killed(flights_at_work):
    view = fold(flights_at_work.events, alive=False)
    assert (view.label, view.killed, view.state) == ("killed", True, State.CANCELLED)
    assert states(view)[:3] == [
        ("features", State.SUCCEEDED),
        ("train", State.CANCELLED),
        ("evaluate", State.PENDING),
    ]


def test_a_finished_run_is_not_killed_when_its_process_is_gone(flights_promoted):
    view = fold(flights_promoted.events, alive=False)
    assert (view.label, view.killed, view.seconds) == ("succeeded", False, 68.2)


def test_events_of_unknown_types_are_let_pass(flights_promoted):
    before = fold(flights_promoted.events)
    flights_promoted.add(69, "something_new", step="train")
    assert fold(flights_promoted.events) == before


def test_exit_codes_follow_the_state_and_the_error(recorded):
    def code(state, **error):
        run = recorded().end(1, state, error={"what": "w", **error} if error else None)
        return fold(run.events).exit_code

    assert code(State.SUCCEEDED) == 0
    assert code(State.FAILED) == 1
    assert code(State.FAILED, exit_code=3) == 3
    assert code(State.FAILED, exit_code=4) == 4
    assert code(State.CANCELLED, exit_code=130) == 130
