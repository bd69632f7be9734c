"""Pipelines used as components of other pipelines."""

# ruff: noqa: B006, SIM117, UP014, UP045 (types and groups are written as KFP's users write them)

from typing import NamedTuple, Optional

from kfp import dsl
from kfp.dsl import Dataset, Input, Output


@dsl.component
def say(text: str, tail: Optional[str] = "!") -> str:
    return f"{text}{tail}"


@dsl.component
def echo(table: dict) -> dict:
    return table


@dsl.component
def make(data: Output[Dataset], text: str):
    with open(data.path, "w") as file:
        file.write(text)
    data.metadata["length"] = len(text)


@dsl.component
def copy(source: Input[Dataset], data: Output[Dataset]):
    with open(source.path) as old, open(data.path, "w") as new:
        new.write(old.read() + "'")
    data.metadata = {"length": source.metadata["length"] + 1}


@dsl.component
def read(data: Input[Dataset]) -> str:
    with open(data.path) as file:
        return f"{file.read()} {data.metadata['length']}"


@dsl.component
def fail(text: str = "it's broken") -> str:
    raise RuntimeError(text)


@dsl.pipeline
def passing(data: Input[Dataset], text: str = "inner default") -> NamedTuple(
    "Outputs", data=Dataset, text=str
):
    """Takes an artifact and a text, and gives both back changed."""
    outputs = NamedTuple("Outputs", data=Dataset, text=str)
    return outputs(copy(source=data).outputs["data"], say(text=text).output)


def test_inputs_and_outputs_go_through(run):
    """A pipeline's parameters and artifacts go in and come out like a component's."""

    @dsl.pipeline
    def outer(text: str) -> NamedTuple("Outputs", text=str, read=str):
        inner = passing(data=make(text=text).outputs["data"], text=text)
        outputs = NamedTuple("Outputs", text=str, read=str)
        return outputs(
            say(text=inner.outputs["text"]).output, read(data=inner.outputs["data"]).output
        )

    outcome = run(outer, text="it's")
    assert outcome.state == "succeeded"
    assert outcome.outputs == {"text": "it's!!", "read": "it's' 5"}
    assert outcome.states.keys() == {"make", "passing/copy", "passing/say", "say", "read"}


def test_defaults_of_the_inner_pipeline(run):
    """An inner pipeline's own defaults stand where the outer gives nothing; an optional input
    without default stays absent down to the component's default."""

    @dsl.pipeline
    def inner(
        text: str = "x", tail: Optional[str] = None, table: dict[str, int] = {"a": 1}
    ) -> NamedTuple("Outputs", text=str, table=dict):
        outputs = NamedTuple("Outputs", text=str, table=dict)
        return outputs(say(text=text, tail=tail).output, echo(table=table).output)

    @dsl.pipeline
    def outer() -> NamedTuple("Outputs", bare=str, given=str, table=dict):
        bare, given = inner(), inner(text="y", tail="?", table={"b": 2})
        outputs = NamedTuple("Outputs", bare=str, given=str, table=dict)
        return outputs(bare.outputs["text"], given.outputs["text"], bare.outputs["table"])

    assert run(outer).outputs == {"bare": "x!", "given": "y?", "table": {"a": 1}}


def test_several_levels(run):
    """Pipelines in pipelines in pipelines."""

    @dsl.pipeline
    def lowest(text: str) -> str:
        return say(text=text).output

    @dsl.pipeline
    def middle(text: str) -> str:
        return lowest(text=lowest(text=text).output).output

    @dsl.pipeline
    def outer(text: str) -> str:
        return middle(text=middle(text=text).output).output

    outcome = run(outer, text="it's")
    assert outcome.outputs == {"Output": "it's!!!!"}
    assert outcome.states.keys() == {
        f"{middle}/{lowest}/say"
        for middle in ("middle", "middle-2") for lowest in ("lowest", "lowest-2")
    }  # fmt: skip


def test_in_a_loop(run):
    """Each iteration runs the whole inner pipeline with its item."""

    @dsl.pipeline
    def outer() -> list[str]:
        data = make(text="d").outputs["data"]
        with dsl.ParallelFor(["a", "it's"]) as text:
            inner = passing(data=data, text=text)
            said = say(text=inner.outputs["text"])
        return dsl.Collected(said.output)

    outcome = run(outer)
    assert outcome.outputs == {"Output": ["a!!", "it's!!"]}
    assert "for-loop-2/1/passing/copy" in outcome.states


def test_in_a_condition(run):
    """In a branch that is not taken no step of the inner pipeline runs."""

    @dsl.pipeline
    def outer(go: str):
        data = make(text="d").outputs["data"]
        with dsl.If(go == "it's"):
            passing(data=data)

    assert run(outer, go="it's").states.keys() == {
        "make", "condition-1/passing/copy", "condition-1/passing/say",
    }  # fmt: skip
    skipped = run(outer, go="x")
    assert skipped.states.keys() == {"make"}
    assert skipped.skipped == {"condition-1/passing/copy", "condition-1/passing/say"}


def test_conditions_and_loops_inside(run):
    """An inner pipeline has control flow of its own."""

    @dsl.pipeline
    def inner(texts: list[str], wanted: str) -> list[str]:
        with dsl.ParallelFor(texts) as text:
            with dsl.If(text == wanted):
                made = say(text=text)
        return dsl.Collected(made.output)

    @dsl.pipeline
    def outer(texts: list[str]) -> list[str]:
        return inner(texts=texts, wanted="it's").output

    assert run(outer, texts=["a", "it's", "b", "it's"]).outputs == {"Output": ["it's!", "it's!"]}


def test_what_follows_waits_for_the_outputs_it_takes(run):
    """`.after` an inner pipeline means after all of it."""

    @dsl.pipeline
    def inner() -> str:
        first = say(text="a")
        say(text="longer").after(first)
        return first.output

    @dsl.pipeline
    def outer():
        made = inner()
        say(text="later").after(made)

    outcome = run(outer)
    assert outcome.in_order("inner/say", "inner/say-2", "say")


def test_a_failure_inside_fails_the_inner_pipeline(run):
    """What depends on the inner pipeline is skipped; the rest of it and of the outer runs."""

    @dsl.pipeline
    def inner(text: str) -> str:
        fail()
        return say(text=text).output

    @dsl.pipeline
    def outer():
        made = inner(text="x")
        say(text=made.output)
        say(text="apart")

    outcome = run(outer)
    assert outcome.state == "failed"
    assert outcome.states == {
        "inner/fail": "failed", "inner/say": "succeeded", "say-2": "succeeded",
    }  # fmt: skip
    assert outcome.skipped == {"say"}


def test_independent_inner_pipelines_run_side_by_side(run, meeting_place):
    """Two inner pipelines that take nothing from one another are under way at once."""

    @dsl.component
    def meet(folder: str, name: str) -> int:
        import os
        import time

        open(os.path.join(folder, name), "w").close()
        deadline = time.monotonic() + 30
        while len(os.listdir(folder)) < 2:
            if time.monotonic() > deadline:
                raise TimeoutError(name)
            time.sleep(0.01)
        return 2

    @dsl.pipeline
    def inner(folder: str, name: str):
        meet(folder=folder, name=name)

    @dsl.pipeline
    def outer(folder: str):
        inner(folder=folder, name="a")
        inner(folder=folder, name="b")

    outcome = run.with_options(jobs=2)(outer, folder=meeting_place)
    assert outcome.state == "succeeded"
