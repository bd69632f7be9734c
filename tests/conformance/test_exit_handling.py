"""dsl.ExitHandler and ignore_upstream_failure: what runs though something else failed."""

# ruff: noqa: E712, SIM117, UP014 (types and groups are written as KFP's users write them)

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import PipelineTaskFinalStatus


@dsl.component
def say(text: str = "default") -> str:
    return text


@dsl.component
def fail(text: str = "it's broken") -> str:
    raise RuntimeError(text)


@dsl.component
def clean(status: PipelineTaskFinalStatus, tag: str = "") -> dict:
    return {
        "tag": tag,
        "state": status.state,
        "task": status.pipeline_task_name,
        "code": status.error_code,
        "message": status.error_message,
        "job": status.pipeline_job_resource_name,
    }


def test_the_exit_task_runs_after_success(run):
    """The exit task starts when everything in the handler's scope is over; it is told
    SUCCEEDED, whose status it is, and no error."""

    @dsl.pipeline
    def handled(tag: str):
        with dsl.ExitHandler(clean(tag=tag), name="the work"):
            first = say(text="a")
            say(text=first.output)

    outcome = run(handled, tag="it's")
    status = outcome.of("clean")["Output"]
    assert outcome.state == "succeeded"
    assert outcome.in_order("exit-handler-1/say", "exit-handler-1/say-2", "clean")
    assert outcome.result.run_id in status.pop("job")
    assert status == {
        "tag": "it's",
        "state": "SUCCEEDED",
        "task": "exit-handler-1",
        "code": None,
        "message": None,
    }


def test_the_exit_task_runs_after_failure(run):
    """When a task in the scope fails the exit task runs all the same and is told FAILED and
    why; its own success does not turn the run's failure into success."""

    @dsl.pipeline
    def handled():
        with dsl.ExitHandler(clean()):
            bad = fail()
            say(text=bad.output)
            say(text="apart")

    outcome = run(handled)
    status = outcome.of("clean")["Output"]
    assert outcome.state == "failed"
    assert outcome.states == {
        "exit-handler-1/fail": "failed", "exit-handler-1/say-2": "succeeded", "clean": "succeeded",
    }  # fmt: skip
    assert outcome.skipped == {"exit-handler-1/say"}
    assert (status["state"], status["task"]) == ("FAILED", "exit-handler-1")
    assert "it's broken" in status["message"]
    assert isinstance(status["code"], int)
    assert "it's broken" in outcome.problem


def test_the_exit_task_waits_for_all_that_still_runs(run):
    """A failure in the scope does not start the exit task early: siblings end first."""

    @dsl.component
    def slow() -> str:
        import time

        time.sleep(0.6)
        return "done"

    @dsl.pipeline
    def handled():
        with dsl.ExitHandler(clean()):
            fail()
            say(text=slow().output)

    outcome = run.with_options(jobs=4)(handled)
    assert outcome.states["exit-handler-1/say"] == "succeeded"
    assert outcome.in_order("exit-handler-1/slow", "exit-handler-1/say", "clean")


def test_a_failing_exit_task_fails_the_run(run):
    """The exit task is a task: when it fails, so does the run, though its scope succeeded."""

    @dsl.pipeline
    def handled():
        with dsl.ExitHandler(fail(text="cannot clean")):
            say(text="a")

    outcome = run(handled)
    assert outcome.state == "failed"
    assert outcome.states == {"exit-handler-1/say": "succeeded", "fail": "failed"}
    assert "cannot clean" in outcome.problem


def test_both_fail(run):
    """With scope and exit task failed the error that came first is the run's."""

    @dsl.pipeline
    def handled():
        with dsl.ExitHandler(fail(text="cannot clean")):
            fail(text="first of all")

    outcome = run(handled)
    assert outcome.states == {"exit-handler-1/fail-2": "failed", "fail": "failed"}
    assert "first of all" in outcome.problem


def test_tasks_outside_the_scope_are_none_of_its_business(run):
    """A handler watches its own scope: a failure elsewhere is not in its status."""

    @dsl.pipeline
    def handled():
        with dsl.ExitHandler(clean()):
            say(text="a")
        fail()

    outcome = run(handled)
    assert outcome.state == "failed"
    assert outcome.of("clean")["Output"]["state"] == "SUCCEEDED"


def test_a_task_after_the_handler(run):
    """`.after(handler)` waits for the handler's scope, and needs it to succeed."""

    @dsl.pipeline
    def handled(go: bool):
        with dsl.ExitHandler(clean()) as handler:
            with dsl.If(go == False):
                fail()
            say(text="a")
        say(text="later").after(handler)

    outcome = run(handled, go=True)
    assert outcome.in_order("exit-handler-1/say", "say-2")
    outcome = run(handled, go=False)
    assert outcome.states["clean"] == "succeeded"
    assert outcome.skipped == {"say-2"}


def test_a_skipped_branch_in_the_scope_is_no_failure(run):
    """A scope in which a condition was false has succeeded."""

    @dsl.pipeline
    def handled(go: str):
        with dsl.ExitHandler(clean()):
            with dsl.If(go == "it's"):
                say(text="a")

    outcome = run(handled, go="x")
    assert outcome.state == "succeeded"
    assert outcome.of("clean")["Output"]["state"] == "SUCCEEDED"


def test_each_iteration_has_its_own_handler(run):
    """A pipeline with a handler, looped over: every iteration is cleaned up after, and told
    of itself alone."""

    @dsl.component
    def inverse(value: int) -> float:
        return 1 / value

    @dsl.pipeline
    def handled(value: int):
        with dsl.ExitHandler(clean(tag="inner")):
            inverse(value=value)

    @dsl.pipeline
    def loop():
        with dsl.ParallelFor([0, 2]) as value:
            handled(value=value)

    outcome = run(loop)
    told = [outcome.of(f"for-loop-2/{index}/handled/clean")["Output"] for index in range(2)]
    assert outcome.state == "failed"
    assert [status["state"] for status in told] == ["FAILED", "SUCCEEDED"]


def test_a_pipeline_as_exit_task(run):
    """The exit task may be a whole pipeline, which looks into the status and decides."""

    @dsl.component
    def state_of(status: dict) -> str:
        return status["state"]

    @dsl.pipeline
    def notify(status: PipelineTaskFinalStatus):
        with dsl.If(state_of(status=status).output == "FAILED"):
            say(text="it failed")
        with dsl.Else():
            say(text="it went well")

    @dsl.pipeline
    def handled(go: bool):
        with dsl.ExitHandler(notify()):
            with dsl.If(go == False):
                fail()
            say(text="a")

    bad = {step for step in run(handled, go=False).states if step.startswith("notify/")}
    assert bad == {"notify/state-of", "notify/condition-branches-1/condition-2/say"}
    good = {step for step in run(handled, go=True).states if step.startswith("notify/")}
    assert good == {"notify/state-of", "notify/condition-branches-1/condition-3/say-2"}


def test_ignoring_an_upstream_failure(run):
    """`.ignore_upstream_failure()`: the task runs whatever became of what it waits for; what
    the failed one did not give is replaced by the input's default."""

    @dsl.pipeline
    def ignoring(text: str):
        bad = fail(text=text)
        good = say(text=text)
        say(text=bad.output).ignore_upstream_failure()
        say(text=good.output).ignore_upstream_failure()
        say(text="after").after(bad).ignore_upstream_failure()
        say(text="strict").after(bad)

    outcome = run(ignoring, text="it's")
    assert outcome.state == "failed"
    assert outcome.skipped == {"say-5"}
    assert [outcome.of(step)["Output"] for step in ("say-2", "say-3", "say-4")] == [
        "default", "it's", "after",
    ]  # fmt: skip
    assert outcome.in_order("fail", "say-2")


def test_status_without_a_handler(run):
    """A task that ignores upstream failure may ask for the status of the one it waits for."""

    @dsl.pipeline
    def ignoring():
        bad = fail()
        clean(tag="x").after(bad).ignore_upstream_failure()

    status = run(ignoring).of("clean")["Output"]
    assert (status["state"], status["task"]) == ("FAILED", "fail")
    assert "it's broken" in status["message"]


def test_what_follows_a_task_that_ignored_a_failure(run):
    """Its own success is success for those that wait for it."""

    @dsl.pipeline
    def ignoring() -> NamedTuple("Outputs", text=str):
        outputs = NamedTuple("Outputs", text=str)
        middle = say(text=fail().output).ignore_upstream_failure()
        return outputs(say(text=middle.output).output)

    outcome = run(ignoring)
    assert outcome.states == {"fail": "failed", "say": "succeeded", "say-2": "succeeded"}
    assert outcome.of("say-2") == {"Output": "default"}


def test_ignoring_runs_after_a_skipped_task_too(run):
    """Completed means over in any way: skipped tasks are over."""

    @dsl.pipeline
    def ignoring():
        bad = fail()
        skipped = say(text=bad.output)
        say(text=skipped.output).ignore_upstream_failure()

    outcome = run(ignoring)
    assert outcome.states == {"fail": "failed", "say-2": "succeeded"}
    assert outcome.of("say-2") == {"Output": "default"}
