"""What a function must say of itself to be a step, and what is said when it does not."""

import pytest

import headrace as hr
from headrace.core.errors import UsageError

HINT = "annotate it: {0}: str (or int, float, bool, list, dict, Input[Dataset], Output[Model], …)"


def refused(load, text):
    """The error of a module that does not load, whole, its path shortened."""
    with pytest.raises(UsageError) as wrong:
        load(text)
    where = [one.rpartition("/")[2].partition(".py")[2] for one in wrong.value.where]
    return wrong.value.what, where, wrong.value.hint


def test_no_annotation(load):
    text = """
        import headrace as hr

        @hr.step
        def count(words: str, top): ...
    """
    assert refused(load, text) == (
        "The step 'count' does not say what its parameter 'top' is.", [":4"], HINT.format("top"),
    )  # fmt: skip


@pytest.mark.parametrize("star", ["*words", "**words"])
def test_any_number_of_inputs(load, star):
    text = f"""
        import headrace as hr

        @hr.step()
        def count({star}: str): ...
    """
    assert refused(load, text) == (
        f"The step 'count' takes {star}: str, but a step's inputs must be named one by one.",
        [":4"], "",
    )  # fmt: skip


def test_an_annotation_that_cannot_be_evaluated(load):
    text = """
        from __future__ import annotations

        from typing import TYPE_CHECKING

        import headrace as hr

        if TYPE_CHECKING:
            from kfp.dsl import Dataset, Output

        @hr.step
        def make(data: Output[Dataset]): ...
    """
    assert refused(load, text) == (
        "The step 'make' annotates parameter 'data' with 'Output[Dataset]', which cannot be "
        "evaluated (name 'Output' is not defined).",
        [":11"],
        "import the names that annotations use at module level, not under TYPE_CHECKING",
    )


def test_a_return_value_that_cannot_be_evaluated(load):
    text = """
        import headrace as hr

        @hr.step
        def make() -> 'Nothing': ...
    """
    assert refused(load, text) == (
        "The step 'make' annotates the return value with 'Nothing', which cannot be "
        "evaluated (name 'Nothing' is not defined).",
        [":4"],
        "import the names that annotations use at module level, not under TYPE_CHECKING",
    )


def test_a_type_that_kfp_does_not_know(load):
    text = """
        import headrace as hr

        @hr.step
        def make(when: complex): ...
    """
    what, where, hint = refused(load, text)
    assert what.startswith("The step 'make' cannot be a component: ")
    assert "complex" in what
    assert where == [""]
    assert hint == "annotate with str, int, float, bool, list, dict, or KFP's artifact types"


def test_a_spark_step_without_a_session(load):
    text = """
        import headrace as hr

        @hr.spark()
        def make(): ...
    """
    assert refused(load, text) == (
        "The step 'make' takes no parameters, but a Spark step's first is the session.", [":4"], "",
    )  # fmt: skip


def nowhere(load, text):
    what, where, hint = refused(load, text)
    assert where == [""]
    assert hint == "a step is found again by its name: move it out of any function or class"
    return what


def test_a_function_inside_another(load):
    text = """
        import headrace as hr

        def outer():
            @hr.step
            def inner(): ...

        outer()
    """
    assert nowhere(load, text) == (
        "The function 'outer.<locals>.inner' is not defined at module level."
    )


def test_a_method(load):
    text = """
        import headrace as hr

        class Steps:
            @hr.step
            def count(self: str): ...
    """
    assert nowhere(load, text) == "The function 'Steps.count' is not defined at module level."


def test_a_lambda(load):
    text = """
        import headrace as hr

        count = hr.step(lambda: 1)
    """
    assert nowhere(load, text) == "The function '<lambda>' is not defined at module level."


@pytest.mark.parametrize("thing", ["print", "functools.partial(print)", "dsl.component(f)"])
def test_what_is_no_function(load, thing):
    text = f"""
        import functools
        import headrace as hr
        from kfp import dsl

        def f() -> int:
            return 1

        hr.step({thing})
    """
    what, where, hint = refused(load, text)
    assert what.startswith("A step is made of a function, not of ")
    assert (where, hint) == (
        [], "put Headrace's decorator directly above `def`, with no other below it",
    )  # fmt: skip


def test_no_workers(load):
    text = """
        import headrace as hr

        @hr.ray(workers=0)
        def train(): ...
    """
    assert refused(load, text) == ("A Ray step needs at least one worker, not 0.", [], "")


def interface(step):
    """Inputs and outputs as KFP has them: name to type, default and whether it may be missing."""
    spec = step.component_spec
    inputs = {
        name: (str(one.type), one.default, one.optional)
        for name, one in (spec.inputs or {}).items()
    }
    return inputs, {name: str(one.type) for name, one in (spec.outputs or {}).items()}


SIGNATURE = """
    {future}
    from typing import List, NamedTuple, Optional

    import headrace as hr
    from kfp.dsl import Artifact, Dataset, Input, Metrics, Output, OutputPath

    class Results(NamedTuple):
        rows: int
        kind: str

    @hr.{kind}
    def step({session}
        table: Input[Dataset], tables: Input[List[Artifact]], model: Output[Metrics],
        file: OutputPath(str), text: str, number: int = 3, rate: float = 0.5,
        flag: bool = True, items: list = [1], table_of: dict = {{"a": 1}},
        maybe: Optional[str] = None,
    ) -> Results:
        '''What it does.'''
"""


@pytest.mark.parametrize("future", ["", "from __future__ import annotations"])
@pytest.mark.parametrize(
    ("kind", "session"), [("step", ""), ("spark()", "spark,"), ("ray(workers=2)", "")]
)
def test_an_interface_is_what_kfp_makes_of_the_same_signature(load, future, kind, session):
    """Whatever the engine, and with annotations as text too; the Spark session is no input."""
    step = load(SIGNATURE.format(future=future, kind=kind, session=session)).step
    plain = SIGNATURE.replace("import headrace as hr", "from kfp import dsl")
    plain = plain.replace("@hr.", "@dsl.")
    kfps = load(plain.format(future="", kind="component", session="")).step
    assert interface(step) == interface(kfps)
    assert step.description == "What it does."
    inputs, outputs = interface(step)
    assert list(inputs) == [
        "table", "tables", "text", "number", "rate", "flag", "items", "table_of", "maybe",
    ]  # fmt: skip
    assert outputs == {
        "model": "system.Metrics@0.0.1", "file": "String", "rows": "Integer", "kind": "String",
    }  # fmt: skip


def test_an_option_that_there_is_not():
    with pytest.raises(UsageError) as caught:
        hr.step(retry=3)
    assert str(caught.value) == "hr.step has no option 'retry'.\n  try: Did you mean 'retries'?"
