"""Order, failure and retries: who waits for whom, and what a failure takes with it."""

from itertools import pairwise

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Output


@dsl.component
def say(text: str) -> str:
    return text


@dsl.component
def fail(text: str = "it's broken") -> str:
    raise RuntimeError(text)


@dsl.component
def meet(folder: str, name: str, of: int) -> int:
    import os
    import time

    open(os.path.join(folder, name), "w").close()
    deadline = time.monotonic() + 30
    while len(os.listdir(folder)) < of:
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {sorted(os.listdir(folder))} came")
        time.sleep(0.01)
    return len(os.listdir(folder))


@dsl.component
def try_until(folder: str, enough: int, data: Output[Dataset]) -> str:
    """Succeeds at the attempt numbered `enough`, leaving half a file behind before that."""
    import os

    left = os.path.exists(data.path)
    attempt = len(os.listdir(folder)) + 1
    open(os.path.join(folder, str(attempt)), "w").close()
    with open(data.path, "w") as file:
        file.write("half")
        if attempt < enough:
            file.flush()
            raise RuntimeError(f"attempt {attempt} isn't enough")
    return f"attempt {attempt}, left over: {left}"


def test_independent_tasks_run_side_by_side(run, meeting_place):
    """Tasks that take nothing from one another need not wait: three that wait for each other
    all get through."""

    @dsl.pipeline
    def apart(folder: str):
        meet(folder=folder, name="a", of=3)
        meet(folder=folder, name="b", of=3)
        meet(folder=folder, name="c", of=3)

    outcome = run.with_options(jobs=3)(apart, folder=meeting_place)
    assert (outcome.state, len(outcome.states)) == ("succeeded", 3)


def test_two_tasks_run_side_by_side_without_being_asked_to(run, meeting_place):
    """Side by side is what one gets, not an option."""

    @dsl.pipeline
    def apart(folder: str):
        meet(folder=folder, name="a", of=2)
        meet(folder=folder, name="b", of=2)

    assert run(apart, folder=meeting_place).state == "succeeded"


def test_branches_do_not_wait_for_each_others_stages(run, meeting_place):
    """A task starts when its own upstream tasks are over, not when a whole stage is: here the
    head of one branch waits for the tail of the other."""

    @dsl.pipeline
    def branches(folder: str):
        meet(folder=folder, name="slow", of=3)
        first = meet(folder=folder, name="a1", of=1)
        second = meet(folder=folder, name="a2", of=2).after(first)
        say(text=f"{second.output}")

    outcome = run.with_options(jobs=2)(branches, folder=meeting_place)
    assert outcome.state == "succeeded"


def test_jobs_limits_the_steps_at_once(run):
    """With one slot the steps run one at a time."""

    @dsl.pipeline
    def apart():
        for text in ("a", "b", "c", "d"):
            say(text=text)

    outcome = run.with_options(jobs=1)(apart)
    spans = sorted(outcome.span(step) for step in ("say", "say-2", "say-3", "say-4"))
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


def test_after_and_data_make_the_order(run):
    """A task starts when all those are over whose data it takes or that it is put after."""

    @dsl.pipeline
    def diamond():
        top = say(text="top")
        left = say(text=top.output)
        right = say(text="right").after(top)
        say(text=left.output).after(right)

    outcome = run(diamond)
    assert outcome.in_order("say", "say-2", "say-4")
    assert outcome.in_order("say", "say-3", "say-4")


def test_a_failure_skips_what_depends_on_it_and_nothing_else(run):
    """Downstream of a failed task nothing runs, at any distance. Branches that do not depend
    on it run to their end, and the run fails with the task's own error."""

    @dsl.pipeline
    def partly():
        bad = fail()
        after = say(text=bad.output)
        say(text=after.output)
        say(text="put after").after(bad)
        first = say(text="a")
        second = say(text=first.output)
        say(text=second.output)

    outcome = run(partly)
    assert outcome.state == "failed"
    assert outcome.states == {
        "fail": "failed", "say-4": "succeeded", "say-5": "succeeded", "say-6": "succeeded",
    }  # fmt: skip
    assert outcome.skipped == {"say", "say-2", "say-3"}
    assert "RuntimeError" in outcome.problem and "it's broken" in outcome.problem


def test_two_failures(run):
    """Several tasks may fail in one run; each is on record as failed."""

    @dsl.pipeline
    def partly():
        fail(text="one")
        fail(text="two")

    outcome = run(partly)
    assert (outcome.state, outcome.states) == ("failed", {"fail": "failed", "fail-2": "failed"})


def test_an_error_shows_the_users_code(run):
    """What is told of a failed step is the exception and the user's line, not the runner's
    machinery, and where its whole log lies."""

    @dsl.pipeline
    def broken():
        fail()

    outcome = run(broken)
    finished = [e for e in outcome.result.events if e["type"] == "step_finished"]
    error = finished[0]["error"]
    assert "raise RuntimeError(text)" in error["traceback"]
    assert "executor_main" not in error["traceback"]
    logs = [place for place in error["where"] if place.endswith(".log")]
    assert logs and "it's broken" in outcome.text()


def test_a_step_that_ends_without_an_exception(run):
    """A step whose process exits, or is killed, has failed; the runner and its siblings live."""

    @dsl.component
    def end(how: str):
        exec(how)

    @dsl.pipeline
    def ends():
        end(how="import sys; sys.exit(3)")
        end(how="import os; os._exit(3)")
        end(how="import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        say(text="lives")

    outcome = run(ends)
    assert (outcome.state, outcome.states) == (
        "failed", {"end": "failed", "end-2": "failed", "end-3": "failed", "say": "succeeded"},
    )  # fmt: skip


def test_exit_code_zero_from_within_is_success(run):
    """`sys.exit(0)` in a function without outputs is an orderly end."""

    @dsl.component
    def end():
        import sys

        sys.exit(0)

    @dsl.pipeline
    def ends():
        end()

    assert run(ends).state == "succeeded"


def test_retries_until_it_succeeds(run, meeting_place):
    """`set_retry(num_retries=3)` allows three more attempts after the first. Each begins with
    clean outputs; the attempts are counted."""

    @dsl.pipeline
    def tries(folder: str) -> str:
        made = try_until(folder=folder, enough=3).set_retry(num_retries=3)
        return made.outputs["Output"]

    outcome = run(tries, folder=meeting_place)
    assert outcome.state == "succeeded"
    assert outcome.outputs == {"Output": "attempt 3, left over: False"}
    assert outcome.attempts("try-until") == 3


def test_retries_run_out(run, meeting_place):
    """After the last attempt the step has failed, with that attempt's error."""

    @dsl.pipeline
    def tries(folder: str):
        try_until(folder=folder, enough=9).set_retry(num_retries=2)
        say(text="apart")

    outcome = run(tries, folder=meeting_place)
    assert outcome.states == {"try-until": "failed", "say": "succeeded"}
    assert outcome.attempts("try-until") == 3
    assert "attempt 3 isn't enough" in outcome.problem


def test_no_retry_unless_asked(run, meeting_place):
    """One attempt is the rule."""

    @dsl.pipeline
    def tries(folder: str):
        try_until(folder=folder, enough=2)

    outcome = run(tries, folder=meeting_place)
    assert (outcome.state, outcome.attempts("try-until")) == ("failed", 1)


def test_retries_wait_in_between(run, meeting_place):
    """Between attempts lies the backoff, times its factor from one to the next."""

    @dsl.pipeline
    def tries(folder: str):
        try_until(folder=folder, enough=3).set_retry(
            num_retries=2, backoff_duration="1s", backoff_factor=1.0, backoff_max_duration="1s"
        )

    outcome = run(tries, folder=meeting_place)
    start, end = outcome.span("try-until")
    assert outcome.state == "succeeded"
    assert end - start >= 2.0


@pytest.mark.laptop
def test_retries_in_a_loop_are_each_iterations_own(run, tmp_path):
    """An iteration that is tried again does not make the others run again."""

    @dsl.component
    def once(folder: str, name: str) -> int:
        import os

        mine = os.path.join(folder, name)
        os.makedirs(mine, exist_ok=True)
        attempt = len(os.listdir(mine)) + 1
        open(os.path.join(mine, str(attempt)), "w").close()
        if name == "b" and attempt < 2:
            raise RuntimeError("again")
        return attempt

    @dsl.pipeline
    def tries(folder: str):
        with dsl.ParallelFor(["a", "b", "c"]) as name:
            once(folder=folder, name=name).set_retry(num_retries=1)

    outcome = run(tries, folder=str(tmp_path / "tries"))
    assert outcome.state == "succeeded"
    assert [outcome.of(f"for-loop-2/{index}/once")["Output"] for index in range(3)] == [1, 2, 1]
