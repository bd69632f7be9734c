"""Parameters: every type, every awkward text, defaults, absence, and what is refused."""

# ruff: noqa: B006, UP014, UP045 (types and groups are written as KFP's users write them)

import json
from inspect import Parameter, Signature
from typing import NamedTuple, Optional

import pytest
from kfp import dsl

from headrace.core.errors import UsageError

AWKWARD = [
    "it's",
    'say "hi"',
    "both ' and \"",
    "two\nlines\n",
    "back\\slash \\n \\'",
    "日本語 é 🐙",
    "$HOME `id` $(id) ; & | > <",
    "{{$.inputs.parameters['text']}} {{x}} {{$}}",
    '{"a": 1}',
    "  spaces  ",
    "",
]


@dsl.component
def say(text: str) -> str:
    return text


@dsl.component
def kinds(
    text: str, count: int, rate: float, flag: bool, items: list, table: dict
) -> dict[str, list]:
    def shape(value: object) -> object:
        if isinstance(value, dict):
            return {key: shape(one) for key, one in value.items()}
        return [shape(one) for one in value] if isinstance(value, list) else type(value).__name__

    values = {"text": text, "count": count, "rate": rate}
    values |= {"flag": flag, "items": items, "table": table}
    return {key: [value, shape(value)] for key, value in values.items()}


@dsl.component
def everything() -> NamedTuple(
    "Outputs", text=str, count=int, rate=float, flag=bool, items=list, table=dict
):
    values = NamedTuple(
        "Outputs", text=str, count=int, rate=float, flag=bool, items=list, table=dict
    )
    return values("it's", -7, 0.25, False, [1, "two", [3.5, None]], {"a": {"b": [True]}})


@dsl.component
def greet(name: Optional[str] = "world", times: int = 2, tail: Optional[str] = None) -> str:
    return f"{name} {times} {tail}"


def test_text_arrives_as_it_was_written(run):
    """A string is a value: on its way as a pipeline argument, a constant or another task's
    output nothing in it is a quote, an escape, a shell word or a placeholder. (A constant is
    where KFP's own placeholders are written, so that one alone is filled in there.)"""
    constants = [text for text in AWKWARD if "{{$" not in text]

    def texts(*given):
        for value in given:
            say(text=say(text=value).output)
        for text in constants:
            say(text=text)

    texts.__signature__ = Signature(
        Parameter(f"text_{index}", Parameter.POSITIONAL_OR_KEYWORD, annotation=str)
        for index in range(len(AWKWARD))
    )
    outcome = run(
        dsl.pipeline(texts), **{f"text_{index}": text for index, text in enumerate(AWKWARD)}
    )
    steps = ["say", *(f"say-{number}" for number in range(2, 2 * len(AWKWARD) + 1))]
    later = [f"say-{2 * len(AWKWARD) + 1 + index}" for index in range(len(constants))]
    assert outcome.state == "succeeded"
    assert [outcome.of(step)["Output"] for step in steps[1::2]] == AWKWARD
    assert [outcome.of(step)["Output"] for step in later] == constants


def test_each_type_arrives_as_that_type(run):
    """Each parameter is handed to the function as the Python type of its annotation. The wire
    format knows only doubles: a whole number given for a float is a float, one given for an
    int is an int, and inside lists and dicts whole numbers are ints."""

    @dsl.pipeline
    def typed(
        text: str, count: int, rate: float, flag: bool, items: list[int], table: dict
    ) -> dict[str, list]:
        return kinds(text=text, count=count, rate=rate, flag=flag, items=items, table=table).output

    given = {
        "text": "3", "count": 3, "rate": 2.0, "flag": True,
        "items": [1, 2.5, "x", None, [False]], "table": {"a": 1, "b": {"c": [2, "d"]}},
    }  # fmt: skip
    outcome = run(typed, **given)
    shapes = {
        "text": "str", "count": "int", "rate": "float", "flag": "bool",
        "items": ["int", "float", "str", "NoneType", ["bool"]],
        "table": {"a": "int", "b": {"c": ["int", "str"]}},
    }  # fmt: skip
    assert outcome.state == "succeeded"
    assert outcome.outputs["Output"] == {key: [given[key], shapes[key]] for key in given}


def test_constants_of_each_type_arrive_as_that_type(run):
    """A constant in the pipeline's body is typed by the input that it is given to."""

    @dsl.pipeline
    def typed() -> dict[str, list]:
        return kinds(
            text="x", count=10**6, rate=3.0, flag=False, items=[1.5, 2], table={"k": []}
        ).output

    shapes = {key: value[1] for key, value in run(typed).outputs["Output"].items()}
    assert shapes == {
        "text": "str", "count": "int", "rate": "float", "flag": "bool",
        "items": ["float", "int"], "table": {"k": []},
    }  # fmt: skip


def test_named_tuple_gives_one_output_per_field(run):
    """A component that returns a NamedTuple has an output for each field, typed by it."""

    @dsl.pipeline
    def fields() -> dict[str, list]:
        made = everything().outputs
        return kinds(
            text=made["text"], count=made["count"], rate=made["rate"],
            flag=made["flag"], items=made["items"], table=made["table"],
        ).output  # fmt: skip

    outcome = run(fields)
    assert outcome.of("everything") == {
        "text": "it's", "count": -7, "rate": 0.25, "flag": False,
        "items": [1, "two", [3.5, None]], "table": {"a": {"b": [True]}},
    }  # fmt: skip
    values = {key: value[0] for key, value in outcome.outputs["Output"].items()}
    assert values == outcome.of("everything")


def test_defaults_of_components_and_of_the_pipeline(run):
    """An input that is not given takes its default: the component's own where a task names
    none, the pipeline's where the run names none."""

    @dsl.pipeline
    def defaults(name: str = "moon", times: int = 5) -> NamedTuple("Outputs", own=str, mine=str):
        outputs = NamedTuple("Outputs", own=str, mine=str)
        return outputs(greet().output, greet(name=name, times=times).output)

    assert run(defaults).outputs == {"own": "world 2 None", "mine": "moon 5 None"}
    given = run(defaults, times=0, name="")
    assert given.outputs == {"own": "world 2 None", "mine": " 0 None"}


def test_an_absent_pipeline_parameter_leaves_the_components_default(run):
    """An optional pipeline parameter without a value is passed on as absent, not as null:
    the component that receives it falls back on its own default."""

    @dsl.pipeline
    def absent(name: Optional[str] = None) -> str:
        return greet(name=name, tail=name).output

    assert run(absent).outputs == {"Output": "world 2 None"}
    assert run(absent, name="sun").outputs == {"Output": "sun 2 sun"}


def test_text_made_of_other_values(run):
    """An f-string of parameters is filled in when its task starts: texts as they are, other
    values as JSON. What a value itself contains is not filled in again."""

    @dsl.component
    def number() -> int:
        return 7

    @dsl.pipeline
    def plain(text: str, count: int, flag: bool, items: list) -> NamedTuple(
        "Outputs", path=str, flag=str, items=str, made=str
    ):
        made = number()
        outputs = NamedTuple("Outputs", path=str, flag=str, items=str, made=str)
        return outputs(
            say(text=f"{text}/{count}/{{x}}").output, say(text=f"<{flag}>").output,
            say(text=f"{items}").output, say(text=f"n={made.output}").output,
        )  # fmt: skip

    tricky = "{{$.inputs.parameters['pipelinechannel--count']}}'\""
    outputs = run(plain, text=tricky, count=3, flag=True, items=[1, 2]).outputs
    assert json.loads(outputs.pop("items")) == [1, 2]
    assert outputs == {"path": f"{tricky}/3/{{x}}", "flag": "<true>", "made": "n=7"}


def test_text_that_kfp_leaves_unfinished_is_refused(run):
    """KFP's compiler does not see a parameter typed `List[int]` within a text, and leaves a
    mark of its own there. That is an error when the pipeline is compiled, and never a step
    that works on the mark."""

    @dsl.pipeline
    def unfinished(items: list[int]) -> str:
        return say(text=f"{items}").output

    with pytest.raises(UsageError, match="items"):
        run(unfinished, items=[1])


def test_text_made_of_other_values_inside_a_list_or_dict(run):
    """Placeholders are filled in wherever a text stands in a constant list or dict."""

    @dsl.component
    def echo(table: dict, items: list) -> dict:
        return {"table": table, "items": items}

    @dsl.pipeline
    def nested(text: str) -> dict:
        return echo(table={"key": {"deep": f"<{text}>"}}, items=[f"{text}!", 1]).output

    assert run(nested, text="it's").outputs["Output"] == {
        "table": {"key": {"deep": "<it's>"}},
        "items": ["it's!", 1],
    }


def test_a_value_of_a_dict_parameter(run):
    """`table["key"]`-like access is KFP's for loop items only; a whole dict goes through
    unchanged, keys with quotes, dots and spaces included."""

    @dsl.component
    def echo(table: dict) -> dict:
        return table

    @dsl.pipeline
    def through(table: dict) -> dict:
        return echo(table=echo(table=table).output).output

    table = {"it's": 1, 'a "b"': [True], "a.b c": {"": None}, "é": "ü"}
    assert run(through, table=table).outputs["Output"] == table


def test_a_float_output_may_be_given_a_whole_number(run):
    """A function that promises a float may return an int: it is a float downstream."""

    @dsl.component
    def half(of: float) -> float:
        return int(of // 2)

    @dsl.component
    def kind(rate: float) -> str:
        return type(rate).__name__

    @dsl.pipeline
    def rates() -> NamedTuple("Outputs", value=float, kind=str):
        outputs = NamedTuple("Outputs", value=float, kind=str)
        made = half(of=8.0)
        return outputs(made.output, kind(rate=made.output).output)

    assert run(rates).outputs == {"value": 4.0, "kind": "float"}


def test_a_long_text(run):
    """A value may be long: a megabyte goes from task to task."""

    @dsl.component
    def length(text: str) -> int:
        return len(text)

    @dsl.pipeline
    def long(text: str) -> int:
        return length(text=say(text=text).output).output

    assert run(long, text="é'" * 300_000).outputs == {"Output": 600_000}


def test_output_path_text_is_read_as_its_type(run):
    """`OutputPath(type)` names a file; the text that the function writes there is the output
    parameter's value, read as the declared type."""

    @dsl.component
    def write(
        text: dsl.OutputPath(str), count: dsl.OutputPath(int), rate: dsl.OutputPath(float),
        flag: dsl.OutputPath(bool), items: dsl.OutputPath(list), table: dsl.OutputPath(dict),
    ):  # fmt: skip
        import json

        values = {text: " it's\n", count: " 12\n", rate: "1.50", flag: "True"}
        values |= {items: json.dumps([1, {"a": 2}]), table: json.dumps({"k": [1.5]})}
        for path, value in values.items():
            with open(path, "w") as file:
                file.write(value)

    @dsl.pipeline
    def files():
        write()

    assert run(files).of("write") == {
        "text": " it's\n", "count": 12, "rate": 1.5, "flag": True,
        "items": [1, {"a": 2}], "table": {"k": [1.5]},
    }  # fmt: skip


def test_a_promised_output_that_is_not_given_fails_the_step(run):
    """A component must produce every output parameter that it declares."""

    @dsl.component
    def forget() -> str:
        return None

    @dsl.pipeline
    def forgetful() -> str:
        return say(text=forget().output).output

    outcome = run(forgetful)
    assert (outcome.state, outcome.states, outcome.skipped) == (
        "failed", {"forget": "failed"}, {"say"},
    )  # fmt: skip
    assert "Output" in outcome.problem


def test_an_output_of_the_wrong_type_fails_the_step(run):
    """The returned value is checked against the declared type in the step itself."""

    @dsl.component
    def lie() -> int:
        return "seven"

    @dsl.pipeline
    def lying() -> int:
        return lie().output

    outcome = run(lying)
    assert (outcome.state, outcome.states) == ("failed", {"lie": "failed"})
    assert "int" in outcome.problem and "str" in outcome.problem


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "text"),
        ({"text": "x", "cuont": 1}, "count"),
        ({"text": "x", "count": "many"}, "count"),
        ({"text": "x", "items": {"a": 1}}, "items"),
        ({"text": "x", "count": 1.5}, "count"),
        ({"text": "x", "flag": 1}, "flag"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_anything_starts(run, arguments, named):
    """A missing argument, an unknown one or one of another type is the caller's error."""

    @dsl.pipeline
    def strict(text: str, count: int = 1, items: list = [], flag: bool = False) -> str:
        return say(text=text).output

    with pytest.raises(UsageError) as caught:
        run(strict, **arguments)
    assert named in str(caught.value)
    assert not any(run.home.artifacts.rglob("*"))


def test_a_pipeline_without_tasks_does_not_compile(run):
    """A pipeline needs at least one task."""
    with pytest.raises((UsageError, ValueError), match=r"[Tt]ask"):

        @dsl.pipeline
        def empty(text: str = "x"):
            pass

        run(empty)
