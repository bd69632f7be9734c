"""What is on record of a run, whatever happened in it."""

import json

from kfp import dsl


@dsl.component
def say(text: str) -> str:
    return text


@dsl.component
def fail(text: str) -> str:
    raise RuntimeError(text)


@dsl.pipeline
def eventful(go: str):
    first = say(text="first")
    with dsl.If(go == "it's"):
        say(text="yes")
    with dsl.Else():
        say(text="no")
    with dsl.ParallelFor(["a", "b"]) as item:
        say(text=item).after(first).set_display_name("tell")
    bad = fail(text="it's broken").set_retry(num_retries=1)
    say(text=bad.output)


def test_the_journal_tells_the_run_from_beginning_to_end(run):
    """It begins with run_started and ends with run_finished; every attempt is a step_started,
    every step, skipped ones included, has one step_finished after it; the file has what the
    result has."""
    outcome = run(eventful, go="it's")
    events = outcome.result.events
    lines = (outcome.home.run(outcome.result.run_id) / "events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == json.loads(json.dumps(events))
    assert [event["type"] for event in (events[0], events[-1])] == ["run_started", "run_finished"]
    times = [event["time"] for event in events]
    assert times == sorted(times)
    started = [(e["step"], e["attempt"]) for e in events if e["type"] == "step_started"]
    finished = {e["step"]: str(e["state"]) for e in events if e["type"] == "step_finished"}
    assert len(finished) == len([e for e in events if e["type"] == "step_finished"])
    assert sorted(started) == [
        ("condition-branches-1/condition-2/say-2", 1), ("fail", 1), ("fail", 2),
        ("for-loop-5/0/say-4", 1), ("for-loop-5/1/say-4", 1), ("say", 1),
    ]  # fmt: skip
    assert finished == {
        "say": "succeeded", "condition-branches-1/condition-2/say-2": "succeeded",
        "condition-branches-1/condition-3/say-3": "skipped", "for-loop-5/0/say-4": "succeeded",
        "for-loop-5/1/say-4": "succeeded", "fail": "failed", "say-5": "skipped",
    }  # fmt: skip
    failed = next(e for e in events if e["type"] == "step_finished" and e["step"] == "fail")
    assert (events[-1]["state"], events[-1]["error"]) == ("failed", failed["error"])


def test_steps_have_names_that_people_can_tell_apart(run):
    """A display name is what people see, with the iteration behind it."""
    outcome = run(eventful, go="x")
    names = {step.step: step.name for step in outcome.result.steps}
    assert {names[f"for-loop-5/{index}/say-4"] for index in range(2)} == {"tell[0]", "tell[1]"}
    assert names["condition-branches-1/condition-3/say-3"] == "say-3"


def test_parameters_and_plan_are_on_record(run):
    """The run's arguments, defaults included, and the steps that were known before it began."""

    @dsl.pipeline
    def planned(text: str, count: int = 3, tail: str = "it's"):
        first = say(text=text)
        say(text=f"{count}{tail}").after(first)

    outcome = run(planned, text="x")
    begun = outcome.result.events[0]
    assert begun["parameters"] == {"text": "x", "count": 3, "tail": "it's"}
    assert [one["step"] for one in begun["plan"]] == ["say", "say-2"]
    given = {step.step: step.parameters for step in outcome.result.steps}
    assert given["say"] == {"text": "x"}
    assert given["say-2"]["text"] == "3it's"


def test_what_a_step_prints_is_kept(run):
    """Everything that a step writes to its outputs, its children's too, is in its log."""

    @dsl.component
    def talk():
        import subprocess
        import sys

        print("it's printed")
        print("it's an error", file=sys.stderr)
        subprocess.run(["sh", "-c", "echo from a child"], check=True)

    @dsl.pipeline
    def talking():
        talk()

    outcome = run(talking)
    started = next(e for e in outcome.result.events if e["type"] == "step_started")
    log = (outcome.home.run(outcome.result.run_id) / started["log"]).read_text()
    for line in ("it's printed", "it's an error", "from a child"):
        assert line in log.splitlines()
