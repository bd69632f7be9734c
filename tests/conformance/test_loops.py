"""dsl.ParallelFor: what is looped over, what an iteration sees, and how many run at once."""

# ruff: noqa: B006, SIM117, UP014, UP045 (types and groups are written as KFP's users write them)

from typing import NamedTuple, Optional

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Output


@dsl.component
def say(text: str) -> str:
    return text


@dsl.component
def double(value: int) -> int:
    return 2 * value


@dsl.component
def halve(value: float) -> float:
    return value / 2


@dsl.component
def listing() -> NamedTuple(
    "Outputs", names=list[str], numbers=list[int], tables=list[dict[str, int]]
):
    outputs = NamedTuple("Outputs", names=list[str], numbers=list[int], tables=list[dict[str, int]])
    return outputs(["it's", 'x "y"', ""], [3, 1], [{"a": 1, "b": 2}, {"a": 3, "b": 4}])


@dsl.component
def names(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


@dsl.component
def meet(folder: str, name: str, of: int) -> int:
    """Come to the folder, and leave when `of` have come."""
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
def make(data: Output[Dataset], text: str):
    with open(data.path, "w") as file:
        file.write(text)


@dsl.component
def read(data: Input[Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


def outputs_of(outcome, *steps):
    return [outcome.of(step)["Output"] for step in steps]


def test_constants(run):
    """The body is done once for each item of the list, which keeps its type."""

    @dsl.pipeline
    def loop():
        with dsl.ParallelFor(["it's", 'x "y"', "{{x}}", "it's"]) as text:
            say(text=text)
        with dsl.ParallelFor([1, 2]) as number:
            double(value=number)
        with dsl.ParallelFor([0.5, 3.0]) as rate:
            halve(value=rate)

    outcome = run(loop)
    assert outcome.state == "succeeded"
    texts = outputs_of(outcome, *(f"for-loop-2/{index}/say" for index in range(4)))
    assert texts == ["it's", 'x "y"', "{{x}}", "it's"]
    assert outputs_of(outcome, "for-loop-4/0/double", "for-loop-4/1/double") == [2, 4]
    assert outputs_of(outcome, "for-loop-6/0/halve", "for-loop-6/1/halve") == [0.25, 1.5]
    assert len(outcome.states) == 8


def test_fields_of_items(run):
    """Where items are dicts, `item.field` is the field's value of that item."""

    @dsl.component
    def pair(a: int, b: int, whole: dict) -> str:
        return f"{a} {b} {sorted(whole.items())}"

    @dsl.pipeline
    def loop(rows: list[dict[str, int]]):
        with dsl.ParallelFor([{"a": 1, "b": 2}, {"a": 3, "b": 4}]) as item:
            pair(a=item.a, b=item.b, whole=item)
        with dsl.ParallelFor(rows) as row:
            pair(a=row.a, b=row.b, whole=row)
        with dsl.ParallelFor(listing().outputs["tables"]) as row:
            say(text=f"{row.a}-{row.b}")

    outcome = run(loop, rows=[{"a": 5, "b": 6}])
    assert outputs_of(
        outcome, "for-loop-2/0/pair", "for-loop-2/1/pair", "for-loop-3/0/pair-2",
        "for-loop-4/0/say", "for-loop-4/1/say",
    ) == [
        "1 2 [('a', 1), ('b', 2)]", "3 4 [('a', 3), ('b', 4)]", "5 6 [('a', 5), ('b', 6)]",
        "1-2", "3-4",
    ]  # fmt: skip


def test_fields_of_several_types(run):
    """Fields of untyped dicts take the type of the input that they are given to."""

    @dsl.component
    def mixed(name: str, rate: float, layers: list, extra: dict) -> str:
        return f"{name} {rate!r} {layers} {extra}"

    @dsl.pipeline
    def loop(rows: list[dict]):
        with dsl.ParallelFor(rows) as row:
            mixed(name=row.label, rate=row.rate, layers=row.layers, extra=row.extra)

    rows = [
        {"label": "it's", "rate": 1, "layers": [64, 32], "extra": {"drop": 0.5}},
        {"label": "3", "rate": 1e-5, "layers": [], "extra": {}},
    ]
    assert outputs_of(run(loop, rows=rows), "for-loop-1/0/mixed", "for-loop-1/1/mixed") == [
        "it's 1.0 [64, 32] {'drop': 0.5}", "3 1e-05 [] {}",
    ]  # fmt: skip


def test_a_pipeline_parameter(run):
    """The list may be a parameter of the pipeline: as many iterations as it has items now."""

    @dsl.pipeline
    def loop(texts: list[str] = ["a", "b"]):
        with dsl.ParallelFor(texts) as text:
            say(text=text)

    assert run(loop).states.keys() == {"for-loop-1/0/say", "for-loop-1/1/say"}
    assert run(loop, texts=["it's"]).states.keys() == {"for-loop-1/0/say"}


def test_an_output_of_a_task(run):
    """The list may be another task's only output; the loop waits for it."""

    @dsl.pipeline
    def loop(count: int):
        with dsl.ParallelFor(names(count=count).output) as name:
            say(text=name)

    outcome = run(loop, count=3)
    steps = [f"for-loop-1/{index}/say" for index in range(3)]
    assert outputs_of(outcome, *steps) == ["n0", "n1", "n2"]
    assert all(outcome.in_order("names", step) for step in steps)


def test_a_named_output_of_a_task(run):
    """The list may be one of several outputs of a task."""

    @dsl.pipeline
    def loop():
        made = listing()
        with dsl.ParallelFor(made.outputs["names"]) as name:
            say(text=name)
        with dsl.ParallelFor(made.outputs["numbers"]) as number:
            double(value=number)

    outcome = run(loop)
    assert outcome.state == "succeeded"
    steps = [f"for-loop-1/{index}/say" for index in range(3)]
    assert outputs_of(outcome, *steps) == ["it's", 'x "y"', ""]
    assert outputs_of(outcome, "for-loop-2/0/double", "for-loop-2/1/double") == [6, 2]


def test_a_list_of_artifacts(run):
    """The list may consist of artifacts: a pipeline's output, or its input."""

    @dsl.pipeline
    def several() -> list[Dataset]:
        with dsl.ParallelFor(["a", "it's"]) as text:
            made = make(text=text)
        return dsl.Collected(made.outputs["data"])

    @dsl.pipeline
    def each(data: Input[list[Dataset]]) -> list[str]:
        with dsl.ParallelFor(data) as one:
            made = read(data=one)
        return dsl.Collected(made.output)

    @dsl.pipeline
    def loop() -> list[str]:
        made = several()
        with dsl.ParallelFor(made.output, parallelism=1) as one:
            read(data=one)
        return each(data=made.output).output

    outcome = run(loop)
    assert outcome.outputs["Output"] == ["a", "it's"]
    assert outputs_of(outcome, "for-loop-1/0/read", "for-loop-1/1/read") == ["a", "it's"]


def test_an_empty_list(run):
    """No items, no iterations: the loop succeeds, and what comes after it runs."""

    @dsl.pipeline
    def loop(texts: list[str]):
        with dsl.ParallelFor(texts) as text:
            first = say(text=text)
        with dsl.ParallelFor(names(count=0).output) as text:
            second = say(text=text)
        say(text="after").after(first, second)

    outcome = run(loop, texts=[])
    assert outcome.state == "succeeded"
    assert outcome.states == {"names": "succeeded", "say-3": "succeeded"}


def test_tasks_of_an_iteration_see_that_iteration(run):
    """Data passes between tasks of the same iteration, in order."""

    @dsl.pipeline
    def loop(prefix: str):
        with dsl.ParallelFor([3, 5]) as number:
            made = double(value=number)
            again = double(value=made.output)
            say(text=f"{prefix} {number} {again.output}")

    outcome = run(loop, prefix="it's")
    assert outputs_of(outcome, "for-loop-2/0/say", "for-loop-2/1/say") == ["it's 3 12", "it's 5 20"]
    assert outcome.in_order("for-loop-2/1/double", "for-loop-2/1/double-2", "for-loop-2/1/say")


def test_nested_loops(run):
    """A loop in a loop runs for each pair; the inner body sees both items, and the inner list
    may come from the outer iteration."""

    @dsl.pipeline
    def loop(words: list[str]):
        with dsl.ParallelFor(words) as word:
            inner = names(count=2)
            with dsl.ParallelFor([1, 2]) as number:
                say(text=f"{word}{number}")
            with dsl.ParallelFor(inner.output) as name:
                say(text=f"{word}-{name}")

    outcome = run(loop, words=["a", "it's"])
    assert outcome.state == "succeeded"
    said = {
        step: outcome.of(step)["Output"] for step in outcome.states if not step.endswith("names")
    }
    assert said == {
        "for-loop-1/0/for-loop-3/0/say": "a1", "for-loop-1/0/for-loop-3/1/say": "a2",
        "for-loop-1/1/for-loop-3/0/say": "it's1", "for-loop-1/1/for-loop-3/1/say": "it's2",
        "for-loop-1/0/for-loop-4/0/say-2": "a-n0", "for-loop-1/0/for-loop-4/1/say-2": "a-n1",
        "for-loop-1/1/for-loop-4/0/say-2": "it's-n0", "for-loop-1/1/for-loop-4/1/say-2": "it's-n1",
    }  # fmt: skip


def test_the_inner_list_is_a_field_of_the_outer_item(run):
    """A list inside the item can be looped over in turn."""

    @dsl.pipeline
    def loop(rows: list[dict[str, list[int]]]):
        with dsl.ParallelFor(rows) as row:
            with dsl.ParallelFor(row.values) as value:
                double(value=value)

    outcome = run(loop, rows=[{"values": [1, 2]}, {"values": []}, {"values": [3]}])
    assert {step: outcome.of(step)["Output"] for step in outcome.states} == {
        "for-loop-1/0/for-loop-2/0/double": 2,
        "for-loop-1/0/for-loop-2/1/double": 4,
        "for-loop-1/2/for-loop-2/0/double": 6,
    }


def test_a_condition_in_a_loop(run):
    """Each iteration decides for itself, on its item or on its own tasks."""

    @dsl.pipeline
    def loop(limit: int):
        with dsl.ParallelFor([1, 2, 3]) as number:
            made = double(value=number)
            with dsl.If(number >= limit):
                say(text=f"item {number}")
            with dsl.If(made.output == 4):
                say(text="four")

    outcome = run(loop, limit=2)
    doubles = {f"for-loop-2/{index}/double" for index in range(3)}
    assert outcome.state == "succeeded"
    assert outcome.states.keys() - doubles == {
        "for-loop-2/1/condition-3/say", "for-loop-2/2/condition-3/say",
        "for-loop-2/1/condition-4/say-2",
    }  # fmt: skip
    assert len(outcome.skipped) == 3


def test_conditions_on_items_of_two_nested_loops(run):
    """A condition within two loops may ask both items, and so may the tasks that it guards."""

    @dsl.pipeline
    def loop():
        with dsl.ParallelFor(["it's", "b"]) as word:
            with dsl.ParallelFor([1, 2]) as number:
                with dsl.If(number == 2):
                    with dsl.If(word == "it's"):
                        say(text=f"{word}{number}")

    outcome = run(loop)
    assert outcome.state == "succeeded"
    assert [outcome.of(step)["Output"] for step in outcome.states] == ["it's2"]


def test_a_loop_in_a_condition(run):
    """A loop in a false branch does nothing at all."""

    @dsl.pipeline
    def loop(go: str):
        with dsl.If(go == "it's"):
            with dsl.ParallelFor(["a", "b"]) as text:
                say(text=text)
        with dsl.Else():
            say(text="no")

    inside = "condition-branches-1/condition-4/for-loop-3"
    assert run(loop, go="it's").states.keys() == {f"{inside}/0/say", f"{inside}/1/say"}
    assert run(loop, go="x").states.keys() == {"condition-branches-1/condition-5/say-2"}


def test_a_task_after_the_loop_waits_for_every_iteration(run):
    """`.after` a task in a loop, from outside it, means after all of the loop."""

    @dsl.pipeline
    def loop():
        with dsl.ParallelFor([1, 2, 3]) as number:
            made = double(value=number)
        say(text="later").after(made)

    outcome = run(loop)
    assert all(outcome.in_order(f"for-loop-2/{index}/double", "say") for index in range(3))


def test_one_loop_after_another(run):
    """A task of a second loop may come after one of the first: the loops run in turn."""

    @dsl.pipeline
    def loops():
        with dsl.ParallelFor([1, 2]) as number:
            made = double(value=number)
        with dsl.ParallelFor(["a", "b"]) as text:
            say(text=text).after(made)

    outcome = run(loops)
    for before in ("for-loop-2/0/double", "for-loop-2/1/double"):
        assert outcome.in_order(before, "for-loop-4/0/say")
        assert outcome.in_order(before, "for-loop-4/1/say")


def test_many_iterations_run_at_once(run, meeting_place):
    """Without a limit all iterations may run at the same time: five that wait for one
    another all get through."""

    @dsl.pipeline
    def loop(folder: str):
        with dsl.ParallelFor(["a", "b", "c", "d", "e"]) as name:
            meet(folder=folder, name=name, of=5)

    outcome = run.with_options(jobs=5)(loop, folder=meeting_place)
    assert (outcome.state, len(outcome.states)) == ("succeeded", 5)


def test_iterations_do_not_wait_for_one_another(run, meeting_place):
    """An iteration goes on with its second task while another is still at its first: here one
    iteration's first task waits for the other's second."""

    @dsl.component
    def wait(folder: str, name: str, awaited: str) -> str:
        import os
        import time

        open(os.path.join(folder, name), "w").close()
        deadline = time.monotonic() + 30
        while not os.path.exists(os.path.join(folder, awaited)):
            if time.monotonic() > deadline:
                raise TimeoutError(awaited)
            time.sleep(0.01)
        return name

    @dsl.pipeline
    def loop(folder: str, rows: list[dict[str, str]]):
        with dsl.ParallelFor(rows) as row:
            first = wait(folder=folder, name=row.first, awaited=row.awaited)
            wait(folder=folder, name=row.second, awaited=row.second).after(first)

    rows = [
        {"first": "a1", "second": "a2", "awaited": "b2"},
        {"first": "b1", "second": "b2", "awaited": "b1"},
    ]
    outcome = run.with_options(jobs=2)(loop, folder=meeting_place, rows=rows)
    assert (outcome.state, len(outcome.states)) == ("succeeded", 4)


@pytest.mark.parametrize("limit", [1, 2])
def test_parallelism_limits_the_iterations_at_once(run, limit):
    """`parallelism=n`: at no time are more than n iterations begun and not ended."""

    @dsl.pipeline
    def loop():
        with dsl.ParallelFor([1, 2, 3, 4], parallelism=limit) as number:
            again = double(value=number)
            double(value=again.output)

    outcome = run.with_options(jobs=8)(loop)
    firsts = [outcome.span(f"for-loop-2/{index}/double") for index in range(4)]
    lasts = [outcome.span(f"for-loop-2/{index}/double-2") for index in range(4)]
    spans = [(first[0], last[1]) for first, last in zip(firsts, lasts, strict=True)]
    at_once = max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)
    assert outcome.state == "succeeded"
    assert at_once <= limit


def test_parallelism_is_used_up_to_its_limit(run, meeting_place):
    """A limit of three lets three run at the same time."""

    @dsl.pipeline
    def loop(folder: str):
        with dsl.ParallelFor(["a", "b", "c"], parallelism=3) as name:
            meet(folder=folder, name=name, of=3)

    assert run.with_options(jobs=8)(loop, folder=meeting_place).state == "succeeded"


def test_the_limit_of_an_inner_loop_holds_for_each_outer_iteration(run, meeting_place):
    """Two outer iterations, each with an inner loop limited to one at a time, make two at
    once, and each inner loop in turn."""

    @dsl.pipeline
    def loop(folder: str):
        with dsl.ParallelFor(["a", "b"]) as outer:
            with dsl.ParallelFor(["1", "2"], parallelism=1) as inner:
                meet(folder=folder, name=f"{outer}{inner}", of=2)

    outcome = run.with_options(jobs=8)(loop, folder=meeting_place)
    assert outcome.state == "succeeded"
    for index in range(2):
        inner = [f"for-loop-2/{index}/for-loop-4/{number}/meet" for number in range(2)]
        spans = sorted(outcome.span(step) for step in inner)
        assert spans[0][1] <= spans[1][0]


def test_one_slot_is_enough(run):
    """However loops are nested and limited, with one step at a time all get their turn."""

    @dsl.pipeline
    def loop(numbers: list[int]):
        with dsl.ParallelFor(numbers, parallelism=2) as number:
            made = double(value=number)
            with dsl.ParallelFor(["a", "b"], parallelism=1) as text:
                say(text=f"{text}{made.output}")

    outcome = run.with_options(jobs=1)(loop, numbers=list(range(12)))
    assert (outcome.state, len(outcome.states)) == ("succeeded", 36)


def test_a_list_that_is_not_given(run):
    """Looping over an optional parameter that has no value fails, and says so."""

    @dsl.pipeline
    def loop(texts: Optional[list] = None):
        with dsl.ParallelFor(texts) as text:
            say(text=text)

    outcome = run(loop)
    assert outcome.state == "failed"
    assert "list" in outcome.problem


def test_a_failing_iteration_lets_the_others_finish(run):
    """The loop fails with its iteration, after the others have run; what comes after the loop
    is skipped."""

    @dsl.component
    def inverse(value: int) -> float:
        return 1 / value

    @dsl.pipeline
    def loop():
        with dsl.ParallelFor([0, 1, 2]) as number:
            made = inverse(value=number)
            halve(value=made.output)
        say(text="later").after(made)

    outcome = run(loop)
    assert outcome.state == "failed"
    assert outcome.states == {
        "for-loop-2/0/inverse": "failed",
        "for-loop-2/1/inverse": "succeeded", "for-loop-2/1/halve": "succeeded",
        "for-loop-2/2/inverse": "succeeded", "for-loop-2/2/halve": "succeeded",
    }  # fmt: skip
    assert outcome.skipped == {"for-loop-2/0/halve", "say"}
    assert "ZeroDivisionError" in outcome.problem
