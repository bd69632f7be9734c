"""dsl.If, dsl.Elif and dsl.Else: which branch runs, and what becomes of the others."""

# ruff: noqa: E712, SIM300, UP045 (types and groups are written as KFP's users write them)

from inspect import Parameter, Signature
from typing import Optional

import pytest
from kfp import dsl

AWKWARD = [
    "it's",
    "'",
    "''",
    "'quoted'",
    'say "hi"',
    "both ' and \"",
    "two\nlines",
    "a tab\tand é 日本",
    "C:\\new\\table",
    "ends in \\",
    "' == '",
    "x' && 'y",
    "x') || ('y",
    "true",
    "3",
    "",
]


@dsl.component
def say(text: str) -> str:
    return text


@dsl.component
def whole(value: int) -> int:
    return value


@dsl.component
def real(value: float) -> float:
    return value


@dsl.component
def choice(value: bool) -> bool:
    return value


@dsl.component
def fail() -> str:
    raise RuntimeError("no")


def test_equality_with_any_text(run):
    """A condition compares values. Whatever characters the constant consists of, exactly one
    of an If and its Else runs, and it is the right one; the same for !=."""

    def compare(*given):
        for index, (same, text) in enumerate(zip(given[1:], AWKWARD, strict=True)):
            with dsl.If(same == text):
                say(text=f"{index} ==")
            with dsl.Else():
                say(text=f"{index} not ==")
            with dsl.If(given[0] == text):
                say(text=f"{index} other ==")
            with dsl.If(same != text):
                say(text=f"{index} !=")
            with dsl.Elif(given[0] != text):
                say(text=f"{index} other !=")

    names = ["other", *(f"text_{index}" for index in range(len(AWKWARD)))]
    compare.__signature__ = Signature(
        Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=str) for name in names
    )
    outcome = run(dsl.pipeline(compare), **dict(zip(names, ["other", *AWKWARD], strict=True)))
    said: dict[str, set[str]] = {text: set() for text in AWKWARD}
    for step in outcome.states:
        index, _, told = outcome.of(step)["Output"].partition(" ")
        said[AWKWARD[int(index)]].add(told)
    assert outcome.state == "succeeded"
    assert said == {text: {"==", "other !="} for text in AWKWARD}


def test_equality_of_two_values_that_are_only_known_at_run_time(run):
    """Neither side has to be a constant."""

    @dsl.pipeline
    def compare(rows: list[dict[str, str]]):
        with dsl.ParallelFor(rows) as row:
            made = say(text=row.left)
            with dsl.If(made.output == row.right):
                say(text="equal")
            with dsl.Else():
                say(text="unequal")

    rows = [{"left": text, "right": f"{text}{tail}"} for text in AWKWARD for tail in ("", " ")]
    outcome = run(compare, rows=rows)
    found = {
        int(step.split("/")[1]): outcome.of(step)["Output"]
        for step in outcome.states
        if "condition" in step
    }
    assert [found[index] for index in range(len(rows))] == ["equal", "unequal"] * len(AWKWARD)


HOLDS = {-1: {"!=", "<", "<="}, 0: {"==", "<=", ">="}, 1: {"!=", ">", ">="}}


@pytest.mark.parametrize(
    ("kind", "bound", "values"),
    [
        pytest.param(int, 3, (2, 3, 4), id="int"),
        pytest.param(int, -3, (-4, -3, 2), id="negative int"),
        pytest.param(float, 0.5, (0.25, 0.5, 0.75), id="float"),
        pytest.param(float, 2, (1.9, 2.0, 2.1), id="float against whole number"),
        pytest.param(int, 2.5, (2, 3), id="int against fraction"),
        pytest.param(float, 1e-7, (1e-8, 1e-7, 2e-7), id="small float"),
        pytest.param(str, "m's", ("m", "m's", "n"), id="text"),
    ],
)
def test_all_six_comparisons(run, kind, bound, values):
    """==, !=, <, <=, > and >= on numbers and texts, in both senses."""

    @dsl.pipeline
    def compare(values: list[kind]):
        with dsl.ParallelFor(values) as value:
            with dsl.If(value == bound):
                say(text="==")
            with dsl.If(value != bound):
                say(text="!=")
            with dsl.If(value < bound):
                say(text="<")
            with dsl.If(value <= bound):
                say(text="<=")
            with dsl.If(value > bound):
                say(text=">")
            with dsl.If(value >= bound):
                say(text=">=")

    outcome = run(compare, values=list(values))
    held: dict[object, set[str]] = {value: set() for value in values}
    for step in outcome.states:
        held[values[int(step.split("/")[1])]].add(outcome.of(step)["Output"])
    assert outcome.state == "succeeded"
    assert held == {value: HOLDS[(value > bound) - (value < bound)] for value in values}


def test_a_constant_on_the_left(run):
    """`5 < n` means the same as `n > 5`."""

    @dsl.pipeline
    def compare(number: int):
        with dsl.If(5 < number):
            say(text="above")
        with dsl.If(5 >= number):
            say(text="not above")

    assert run(compare, number=6).states == {"condition-1/say": "succeeded"}
    assert run(compare, number=5).states == {"condition-2/say-2": "succeeded"}


def test_booleans(run):
    """A boolean is compared with True and False, and with another boolean."""

    @dsl.pipeline
    def compare(flag: bool, other: bool):
        made = choice(value=flag)
        with dsl.If(made.output == True):
            say(text="true")
        with dsl.If(flag == False):
            say(text="false")
        with dsl.If(made.output == other):
            say(text="alike")
        with dsl.If(made.output != other):
            say(text="different")

    assert run(compare, flag=True, other=True).skipped == {
        "condition-2/say-2", "condition-4/say-4",
    }  # fmt: skip
    assert run(compare, flag=False, other=True).skipped == {
        "condition-1/say", "condition-3/say-3",
    }  # fmt: skip


def test_outputs_of_each_type_compared_with_parameters(run):
    """Outputs of tasks are compared by their own type, ints with floats by value."""

    @dsl.pipeline
    def compare(limit: int, rate: float):
        count, part = whole(value=10), real(value=10.0)
        with dsl.If(count.output > limit):
            say(text="ten is more than nine, though '10' < '9'")
        with dsl.If(count.output == part.output):
            say(text="10 is 10.0")
        with dsl.If(part.output >= rate):
            say(text="not below")
        with dsl.If(limit < rate):
            say(text="mixed")

    outcome = run(compare, limit=9, rate=9.5)
    assert (outcome.state, outcome.skipped) == ("succeeded", set())


def test_an_absent_value_equals_nothing(run):
    """An optional parameter without a value is unequal to every text, the empty one too: of an
    If and its Else one runs, as ever."""

    @dsl.pipeline
    def compare(text: Optional[str] = None):
        with dsl.If(text == "x"):
            say(text="x")
        with dsl.Else():
            say(text="else")
        with dsl.If(text == ""):
            say(text="empty")
        with dsl.If(text != "x"):
            say(text="not x")

    def said(outcome):
        return {outcome.of(step)["Output"] for step in outcome.states}

    assert said(run(compare)) == {"else", "not x"}
    assert said(run(compare, text="x")) == {"x"}
    assert said(run(compare, text="")) == {"else", "empty", "not x"}


def test_a_number_compared_with_text(run):
    """With one side a text, both are compared as texts."""

    @dsl.pipeline
    def compare(number: int):
        with dsl.If(number == "3"):
            say(text="three")
        with dsl.If(number != "3"):
            say(text="other")

    assert run(compare, number=3).states == {"condition-1/say": "succeeded"}
    assert run(compare, number=30).states == {"condition-2/say-2": "succeeded"}


def test_the_first_branch_that_holds_is_the_only_one(run):
    """If, Elif and Else: the first true condition's branch runs, no other, though later
    conditions hold as well."""

    @dsl.pipeline
    def grade(scores: list[int]):
        with dsl.ParallelFor(scores) as score:
            made = whole(value=score)
            with dsl.If(made.output > 90):
                say(text="a")
            with dsl.Elif(made.output > 50):
                say(text="b")
            with dsl.Else():
                say(text="c")

    outcome = run(grade, scores=[95, 75, 10])
    branches = "condition-branches-2"
    assert outcome.state == "succeeded"
    assert {step for step in outcome.states if "condition" in step} == {
        f"for-loop-1/0/{branches}/condition-3/say",
        f"for-loop-1/1/{branches}/condition-4/say-2",
        f"for-loop-1/2/{branches}/condition-5/say-3",
    }
    assert len(outcome.skipped) == 6


def test_elif_without_else_may_run_nothing(run):
    """With no Else it may be that no branch runs; that is no failure."""

    @dsl.pipeline
    def compare(text: str):
        with dsl.If(text == "it's"):
            say(text="a")
        with dsl.Elif(text == 'say "x"'):
            say(text="b")

    outcome = run(compare, text="neither")
    assert (outcome.state, outcome.states) == ("succeeded", {})
    assert outcome.skipped == {
        "condition-branches-1/condition-2/say", "condition-branches-1/condition-3/say-2",
    }  # fmt: skip


def test_nested_conditions(run):
    """An inner condition is looked at only where the outer one holds; it may refer to tasks
    and parameters outside."""

    @dsl.pipeline
    def nested(outer: int, inner: str):
        made = say(text=inner)
        with dsl.If(outer > 0):
            with dsl.If(made.output == "it's"):
                say(text=f"{inner}!")
            with dsl.Else():
                seen = whole(value=outer)
                with dsl.If(seen.output == outer):
                    say(text="deep")

    both = run(nested, outer=1, inner="it's")
    assert both.states.keys() == {"say", "condition-1/condition-branches-2/condition-3/say-2"}
    deep = run(nested, outer=1, inner="x")
    assert deep.states.keys() == {
        "say",
        "condition-1/condition-branches-2/condition-4/whole",
        "condition-1/condition-branches-2/condition-4/condition-5/say-3",
    }
    none = run(nested, outer=0, inner="it's")
    assert (none.state, none.states.keys()) == ("succeeded", {"say"})
    assert none.skipped == {
        "condition-1/condition-branches-2/condition-3/say-2",
        "condition-1/condition-branches-2/condition-4/whole",
        "condition-1/condition-branches-2/condition-4/condition-5/say-3",
    }


def test_a_false_condition_skips_all_that_its_group_holds(run):
    """Every task in the group is skipped, whatever it depends on; tasks outside run. Skipping
    is no failure."""

    @dsl.pipeline
    def chain(go: bool):
        with dsl.If(go == True):
            first = say(text="first")
            second = say(text=first.output)
            say(text="third").after(second)
        say(text="apart")

    outcome = run(chain, go=False)
    assert (outcome.state, outcome.states) == ("succeeded", {"say-4": "succeeded"})
    assert outcome.skipped == {f"condition-1/say{number}" for number in ("", "-2", "-3")}
    went = run(chain, go=True)
    assert went.skipped == set()
    assert went.in_order("condition-1/say", "condition-1/say-2", "condition-1/say-3")


def test_a_condition_waits_for_the_task_that_it_asks(run):
    """The branch starts only when the task that its condition refers to is over, though it
    takes no data from it."""

    @dsl.pipeline
    def waits():
        with dsl.If(whole(value=1).output == 1):
            say(text="x")

    outcome = run(waits)
    assert outcome.in_order("whole", "condition-1/say")


def test_a_condition_on_a_failed_task_is_never_true(run):
    """Neither If nor Else runs when the task that they ask has failed, and the run fails."""

    @dsl.pipeline
    def broken():
        made = fail()
        with dsl.If(made.output == "x"):
            say(text="a")
        with dsl.Else():
            say(text="b")

    outcome = run(broken)
    assert (outcome.state, outcome.states) == ("failed", {"fail": "failed"})
    assert len(outcome.skipped) == 2


def test_a_failure_in_a_branch_fails_the_run(run):
    """A branch fails with its task, and so does the group of branches: what takes its output
    is skipped."""

    @dsl.pipeline
    def broken(text: str):
        with dsl.If(text == "x"):
            bad = fail()
        with dsl.Else():
            good = say(text="good")
        say(text=dsl.OneOf(bad.output, good.output))

    outcome = run(broken, text="x")
    assert (outcome.state, outcome.states, outcome.skipped) == (
        "failed",
        {"condition-branches-1/condition-2/fail": "failed"},
        {"condition-branches-1/condition-3/say", "say-2"},
    )
    assert run(broken, text="y").state == "succeeded"


def test_named_groups_keep_their_steps_paths(run):
    """A display name of a group is for people: paths are made of task names."""

    @dsl.pipeline
    def named(text: str):
        with dsl.If(text == "x", name="is it x?"):
            say(text="yes").set_display_name("say it's so")

    assert run(named, text="x").states == {"condition-1/say": "succeeded"}
