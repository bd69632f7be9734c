"""dsl.OneOf: the output of whichever branch ran, as one value."""

# ruff: noqa: E712, UP014 (types and groups are written as KFP's users write them)

from typing import NamedTuple

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from headrace.core.errors import HeadraceError


@dsl.component
def say(text: str) -> str:
    return text


@dsl.component
def make(data: Output[Dataset], text: str):
    with open(data.path, "w") as file:
        file.write(text)
    data.metadata["length"] = len(text)


@dsl.component
def read(data: Input[Dataset]) -> str:
    with open(data.path) as file:
        return f"{file.read()} {data.metadata['length']}"


@dsl.component
def join(texts: list[str]) -> str:
    return " ".join(texts)


@pytest.mark.parametrize(("coin", "said"), [("heads", "a"), ("tails", "b"), ("edge", "c")])
def test_a_parameter_of_the_branch_that_ran(run, coin, said):
    """OneOf gathers outputs of mutually exclusive branches into one, which a downstream task
    can take and a pipeline can return."""

    @dsl.pipeline
    def toss(coin: str) -> NamedTuple("Outputs", direct=str, through=str):
        made = say(text=coin)
        with dsl.If(made.output == "heads"):
            a = say(text="a")
        with dsl.Elif(made.output == "tails"):
            b = say(text="b")
        with dsl.Else():
            c = say(text="c")
        one = dsl.OneOf(a.output, b.output, c.output)
        outputs = NamedTuple("Outputs", direct=str, through=str)
        return outputs(one, say(text=one).output)

    outcome = run(toss, coin=coin)
    assert outcome.state == "succeeded"
    assert outcome.outputs == {"direct": said, "through": said}
    assert len(outcome.skipped) == 2


@pytest.mark.parametrize("coin", ["heads", "tails"])
def test_an_artifact_of_the_branch_that_ran(run, local_path, coin):
    """The same for artifacts, with their metadata."""

    @dsl.pipeline
    def toss(coin: str) -> NamedTuple("Outputs", data=Dataset, read=str):
        with dsl.If(coin == "heads"):
            a = make(text="heads")
        with dsl.Else():
            b = make(text="tails")
        one = dsl.OneOf(a.outputs["data"], b.outputs["data"])
        outputs = NamedTuple("Outputs", data=Dataset, read=str)
        return outputs(one, read(data=one).output)

    outputs = run(toss, coin=coin).outputs
    data = outputs["data"][0] if isinstance(outputs["data"], list) else outputs["data"]
    assert (local_path(data).read_text(), outputs["read"]) == (coin, f"{coin} 5")


def test_the_consumer_waits_for_the_branch(run):
    """A task that takes a OneOf starts after the branch."""

    @dsl.pipeline
    def toss(coin: str):
        with dsl.If(coin == "heads"):
            a = say(text="a")
        with dsl.Else():
            b = say(text="b")
        say(text=dsl.OneOf(a.output, b.output))

    outcome = run(toss, coin="tails")
    assert outcome.in_order("condition-branches-1/condition-3/say-2", "say-3")


def test_one_of_decides_another_condition(run):
    """A condition can ask a task that took the OneOf."""

    @dsl.pipeline
    def twice(coin: str) -> str:
        with dsl.If(coin == "it's"):
            a = say(text="yes")
        with dsl.Else():
            b = say(text="no")
        first = say(text=dsl.OneOf(a.output, b.output))
        with dsl.If(first.output == "no"):
            c = say(text="was no")
        with dsl.Else():
            d = say(text="was yes")
        return dsl.OneOf(c.output, d.output)

    assert run(twice, coin="it's").outputs == {"Output": "was yes"}
    assert run(twice, coin="its").outputs == {"Output": "was no"}


def test_a_condition_on_the_one_of_itself_is_not_silently_false(run):
    """KFP's compiler drops the OneOf that only a condition asks: the compiled pipeline refers
    to an output that nothing makes. That is an error, and never two branches not taken."""

    @dsl.pipeline
    def twice(coin: str):
        with dsl.If(coin == "x"):
            a = say(text="yes")
        with dsl.Else():
            b = say(text="no")
        with dsl.If(dsl.OneOf(a.output, b.output) == "no"):
            say(text="was no")

    try:
        outcome = run(twice, coin="x")
    except HeadraceError as error:
        problem = str(error)
    else:
        assert outcome.state == "failed"
        problem = outcome.problem
    assert "oneof-1" in problem


def test_one_of_within_a_branch(run):
    """Branches may hold branches; each level gathers its own, the outer one through the
    task that took the inner."""

    @dsl.pipeline
    def nested(outer: str, inner: str) -> str:
        with dsl.If(outer == "x"):
            with dsl.If(inner == "y"):
                a = say(text="xy")
            with dsl.Else():
                b = say(text="x-")
            c = say(text=dsl.OneOf(a.output, b.output))
        with dsl.Else():
            d = say(text="--")
        return dsl.OneOf(c.output, d.output)

    assert run(nested, outer="x", inner="y").outputs == {"Output": "xy"}
    assert run(nested, outer="x", inner="n").outputs == {"Output": "x-"}
    assert run(nested, outer="n", inner="y").outputs == {"Output": "--"}


def test_one_of_in_each_iteration_of_a_loop(run):
    """Every iteration has a branch of its own; what took the OneOf can be collected."""

    @dsl.pipeline
    def loop() -> str:
        with dsl.ParallelFor(["it's", "x", "it's"]) as item:
            with dsl.If(item == "it's"):
                a = say(text="yes")
            with dsl.Else():
                b = say(text="no")
            said = say(text=dsl.OneOf(a.output, b.output))
        return join(texts=dsl.Collected(said.output)).output

    assert run(loop).outputs == {"Output": "yes no yes"}


def test_one_of_in_a_nested_pipeline(run):
    """A nested pipeline may return a OneOf; outside it is an ordinary output."""

    @dsl.pipeline
    def inner(coin: str) -> str:
        with dsl.If(coin == "heads"):
            a = say(text="h")
        with dsl.Else():
            b = say(text="t")
        return dsl.OneOf(a.output, b.output)

    @dsl.pipeline
    def outer() -> str:
        with dsl.ParallelFor(["heads", "tails"]) as coin:
            made = inner(coin=coin)
        return join(texts=dsl.Collected(made.output)).output

    assert run(outer).outputs == {"Output": "h t"}


def test_branches_of_nested_pipelines(run):
    """The branches' tasks may be pipelines themselves."""

    @dsl.pipeline
    def inner(text: str) -> str:
        return say(text=f"{text}!").output

    @dsl.pipeline
    def outer(go: bool) -> str:
        with dsl.If(go == True):
            a = inner(text="go")
        with dsl.Else():
            b = inner(text="stay")
        return dsl.OneOf(a.output, b.output)

    assert run(outer, go=True).outputs == {"Output": "go!"}
    assert run(outer, go=False).outputs == {"Output": "stay!"}
