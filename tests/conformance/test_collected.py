"""dsl.Collected: the outputs of all iterations as one list, in the order of the items."""

# ruff: noqa: SIM117, UP014 (types and groups are written as KFP's users write them)

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Input, Output


@dsl.component
def double(value: int) -> int:
    return 2 * value


@dsl.component
def names(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


@dsl.component
def late(text: str, seconds: float) -> str:
    import time

    time.sleep(seconds)
    return text


@dsl.component
def total(values: list[int]) -> int:
    return sum(values)


@dsl.component
def show(values: list) -> str:
    return repr(values)


@dsl.component
def make(data: Output[Dataset], text: str):
    with open(data.path, "w") as file:
        file.write(text)
    data.metadata["length"] = len(text)


@dsl.component
def join(data: Input[list[Dataset]]) -> str:
    texts = []
    for one in data:
        with open(one.path) as file:
            texts.append(f"{file.read()} {one.metadata['length']} {type(one).__name__}")
    return ", ".join(texts)


def test_parameters(run):
    """A downstream task takes the list of an output over all iterations; so may a pipeline
    return it."""

    @dsl.pipeline
    def collect() -> NamedTuple("Outputs", total=int, each=list[int]):
        with dsl.ParallelFor([1, 2, 3]) as number:
            made = double(value=number)
        outputs = NamedTuple("Outputs", total=int, each=list[int])
        return outputs(total(values=dsl.Collected(made.output)).output, dsl.Collected(made.output))

    outcome = run(collect)
    assert outcome.outputs == {"total": 12, "each": [2, 4, 6]}
    assert all(outcome.in_order(f"for-loop-2/{index}/double", "total") for index in range(3))


def test_the_order_is_that_of_the_items(run):
    """Not the order in which the iterations end."""

    @dsl.pipeline
    def collect(rows: list[dict]) -> list[str]:
        with dsl.ParallelFor(rows) as row:
            made = late(text=row.text, seconds=row.seconds)
        return dsl.Collected(made.output)

    rows = [{"text": f"it's {index}", "seconds": wait} for index, wait in enumerate([0.4, 0.2, 0])]
    outcome = run.with_options(jobs=4)(collect, rows=rows)
    assert outcome.outputs["Output"] == ["it's 0", "it's 1", "it's 2"]


def test_artifacts(run):
    """Artifacts are collected as a list of artifacts, metadata included."""

    @dsl.pipeline
    def collect() -> str:
        with dsl.ParallelFor(["a", "it's", "ccc"]) as text:
            made = make(text=text)
        return join(data=dsl.Collected(made.outputs["data"])).output

    assert run(collect).outputs["Output"] == "a 1 Dataset, it's 4 Dataset, ccc 3 Dataset"


def test_named_outputs(run):
    """Any output may be collected, several of the same task apart."""

    @dsl.component
    def split(text: str) -> NamedTuple("Outputs", head=str, size=int):
        outputs = NamedTuple("Outputs", head=str, size=int)
        return outputs(text[:1], len(text))

    @dsl.pipeline
    def collect() -> NamedTuple("Outputs", heads=list[str], sizes=list[int]):
        with dsl.ParallelFor(["abc", "de"]) as text:
            made = split(text=text)
        outputs = NamedTuple("Outputs", heads=list[str], sizes=list[int])
        return outputs(dsl.Collected(made.outputs["head"]), dsl.Collected(made.outputs["size"]))

    assert run(collect).outputs == {"heads": ["a", "d"], "sizes": [3, 2]}


def test_values_that_are_lists_stay_apart(run):
    """Outputs that are lists or dicts are collected as they are, not joined."""

    @dsl.pipeline
    def collect() -> str:
        with dsl.ParallelFor([2, 0, 1]) as count:
            made = names(count=count)
        return show(values=dsl.Collected(made.output)).output

    assert run(collect).outputs["Output"] == "[['n0', 'n1'], [], ['n0']]"


def test_parameters_of_nested_loops_are_nested_lists(run):
    """One level of list for each loop around the task."""

    @dsl.pipeline
    def collect() -> NamedTuple("Outputs", shown=str, each=list[list[int]]):
        with dsl.ParallelFor([1, 2]) as _:
            with dsl.ParallelFor([3, 4, 5]) as number:
                made = double(value=number)
        outputs = NamedTuple("Outputs", shown=str, each=list[list[int]])
        return outputs(show(values=dsl.Collected(made.output)).output, dsl.Collected(made.output))

    assert run(collect).outputs == {
        "shown": "[[6, 8, 10], [6, 8, 10]]",
        "each": [[6, 8, 10], [6, 8, 10]],
    }


def test_artifacts_of_nested_loops_are_one_flat_list(run):
    """Artifacts come as one list, whatever the depth, outer iterations first."""

    @dsl.pipeline
    def collect() -> str:
        with dsl.ParallelFor(["a", "b"]) as outer:
            with dsl.ParallelFor(["1", "2"]) as inner:
                made = make(text=f"{outer}{inner}")
        return join(data=dsl.Collected(made.outputs["data"])).output

    assert run(collect).outputs["Output"] == ", ".join(
        f"{text} 2 Dataset" for text in ("a1", "a2", "b1", "b2")
    )


def test_the_inner_loop_collected_within_the_outer(run):
    """Inside the outer loop, only the inner one is gathered: each outer iteration its own."""

    @dsl.pipeline
    def collect() -> list[int]:
        with dsl.ParallelFor([1, 10]) as outer:
            first = double(value=outer)
            with dsl.ParallelFor([1, 2]) as inner:
                made = double(value=inner).after(first)
            summed = total(values=dsl.Collected(made.output))
        return dsl.Collected(summed.output)

    assert run(collect).outputs["Output"] == [6, 6]


def test_a_collected_list_looked_at_in_another_loop(run):
    """The list is a value like any other: each iteration of a second loop may take it."""

    @dsl.pipeline
    def collect() -> list[int]:
        with dsl.ParallelFor([1, 2, 3]) as number:
            made = double(value=number)
        with dsl.ParallelFor(["a", "b"]) as _:
            summed = total(values=dsl.Collected(made.output))
        return dsl.Collected(summed.output)

    assert run(collect).outputs["Output"] == [12, 12]


def test_no_iterations_collect_to_an_empty_list(run):
    """An empty loop gives an empty list, of parameters and of artifacts."""

    @dsl.component
    def count(data: Input[list[Dataset]]) -> int:
        return len(data)

    @dsl.pipeline
    def collect(texts: list[str]) -> NamedTuple("Outputs", shown=str, count=int):
        with dsl.ParallelFor(texts) as text:
            said = late(text=text, seconds=0.0)
            made = make(text=text)
        outputs = NamedTuple("Outputs", shown=str, count=int)
        return outputs(
            show(values=dsl.Collected(said.output)).output,
            count(data=dsl.Collected(made.outputs["data"])).output,
        )

    assert run(collect, texts=[]).outputs == {"shown": "[]", "count": 0}
    assert run(collect, texts=["x"]).outputs == {"shown": "['x']", "count": 1}


def test_iterations_in_which_the_task_was_skipped_add_nothing(run):
    """Where a condition in the loop was false there is nothing to collect, and that is all."""

    @dsl.pipeline
    def collect(limit: int) -> NamedTuple("Outputs", each=list[int], total=int):
        with dsl.ParallelFor([1, 2, 3]) as number:
            with dsl.If(number >= limit):
                made = double(value=number)
        outputs = NamedTuple("Outputs", each=list[int], total=int)
        return outputs(dsl.Collected(made.output), total(values=dsl.Collected(made.output)).output)

    assert run(collect, limit=2).outputs == {"each": [4, 6], "total": 10}
    assert run(collect, limit=9).outputs == {"each": [], "total": 0}


def test_outputs_of_nested_pipelines(run):
    """What a nested pipeline returns in a loop can be collected, artifacts too."""

    @dsl.pipeline
    def inner(text: str) -> NamedTuple("Outputs", data=Dataset, text=str):
        outputs = NamedTuple("Outputs", data=Dataset, text=str)
        said = late(text=f"{text}!", seconds=0.0)
        return outputs(make(text=said.output).outputs["data"], said.output)

    @dsl.pipeline
    def collect() -> NamedTuple("Outputs", texts=str, data=str):
        with dsl.ParallelFor(["a", "b"]) as text:
            made = inner(text=text)
        outputs = NamedTuple("Outputs", texts=str, data=str)
        return outputs(
            show(values=dsl.Collected(made.outputs["text"])).output,
            join(data=dsl.Collected(made.outputs["data"])).output,
        )

    assert run(collect).outputs == {"texts": "['a!', 'b!']", "data": "a! 2 Dataset, b! 2 Dataset"}


def test_a_failed_iteration_leaves_nothing_to_collect(run):
    """The list is only whole when all iterations succeeded: its consumer is skipped."""

    @dsl.component
    def inverse(value: int) -> int:
        return 6 // value

    @dsl.pipeline
    def collect() -> int:
        with dsl.ParallelFor([0, 1]) as number:
            made = inverse(value=number)
        return total(values=dsl.Collected(made.output)).output

    outcome = run(collect)
    assert (outcome.state, outcome.skipped) == ("failed", {"total"})
    assert outcome.states == {"for-loop-2/0/inverse": "failed", "for-loop-2/1/inverse": "succeeded"}
