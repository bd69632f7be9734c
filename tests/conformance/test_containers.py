"""Container components: on a laptop their command is a process of the machine itself."""

# ruff: noqa: UP045 (types and groups are written as KFP's users write them)

import json
from typing import Optional

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Output, OutputPath


@dsl.component
def read(data: Input[Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


@dsl.container_component
def write(text: str, said: OutputPath(str), data: Output[Dataset]):
    return dsl.ContainerSpec(
        image="alpine:3",
        command=["sh", "-c", 'printf %s "$0" > "$1" && printf %s "<$0>" > "$2"'],
        args=[text, said, data.path],
    )


def test_command_arguments_and_outputs(run):
    """Placeholders in command and arguments are replaced by values and paths; the folders of
    the outputs are there; a value is one argument, whatever it consists of."""
    text = "it's; echo \"$HOME\" $(id) {{$.inputs.parameters['text']}} \n end"

    @dsl.pipeline
    def contained(text: str) -> str:
        made = write(text=text)
        read(data=made.outputs["data"])
        return made.outputs["said"]

    outcome = run(contained, text=text)
    assert outcome.state == "succeeded"
    assert outcome.outputs == {"Output": text}
    assert outcome.of("read") == {"Output": f"<{text}>"}


@pytest.mark.laptop
def test_it_is_said_that_no_container_is_used(run):
    """That the image stands idle is noted in the run's record, with the image's name."""

    @dsl.pipeline
    def contained():
        write(text="x")

    outcome = run(contained)
    notes = [event["text"] for event in outcome.result.events if event["type"] == "step_note"]
    assert any("alpine:3" in note for note in notes)


def test_values_of_each_type_as_text(run):
    """Numbers, booleans, lists and dicts stand in a command as JSON."""

    @dsl.container_component
    def show(
        count: int, rate: float, flag: bool, items: list[int], table: dict[str, str],
        said: OutputPath(str),
    ):  # fmt: skip
        return dsl.ContainerSpec(
            image="alpine:3",
            command=["sh", "-c", 'printf "%s\n" "$@" > "$0"', said],
            args=[count, rate, flag, items, table],
        )

    @dsl.pipeline
    def contained() -> str:
        return show(count=3, rate=0.5, flag=True, items=[1, 2], table={"k": "it's"}).outputs["said"]

    lines = run(contained).outputs["Output"].splitlines()
    assert lines[:3] == ["3", "0.5", "true"]
    assert [json.loads(line) for line in lines[3:]] == [[1, 2], {"k": "it's"}]


def test_typed_output_files(run):
    """What the command writes to an output's file is read as the output's type."""

    @dsl.container_component
    def make(count: OutputPath(int), items: OutputPath(list)):
        return dsl.ContainerSpec(
            image="alpine:3",
            command=["sh", "-c", "echo 7 > $0; echo '[1, 2]' > $1"],
            args=[count, items],
        )

    @dsl.component
    def add(count: int, items: list) -> int:
        return count + sum(items)

    @dsl.pipeline
    def contained() -> int:
        made = make().outputs
        return add(count=made["count"], items=made["items"]).output

    assert run(contained).outputs == {"Output": 10}


def test_concatenated_and_conditional_arguments(run):
    """ConcatPlaceholder joins into one argument. IfPresentPlaceholder gives `then` where the
    input was given, else `else_`, else nothing at all; a list becomes several arguments."""

    @dsl.container_component
    def show(said: OutputPath(str), name: Optional[str] = None, count: int = 2,
             data: Optional[Input[Dataset]] = None):  # fmt: skip
        return dsl.ContainerSpec(
            image="alpine:3",
            command=["sh", "-c", 'printf "[%s]" "$@" > "$0"', said],
            args=[
                dsl.ConcatPlaceholder(["count=", count, ";"]),
                dsl.IfPresentPlaceholder("name", then=["--name", name], else_=["--anonymous"]),
                dsl.IfPresentPlaceholder("name", then=dsl.ConcatPlaceholder(["n:", name])),
                dsl.IfPresentPlaceholder("data", then=["with", "data"], else_="without"),
            ],
        )

    @dsl.pipeline
    def contained(name: str) -> dict[str, str]:
        given = show(name=name, count=5, data=write(text="x").outputs["data"])
        bare = show()
        return both(given=given.outputs["said"], bare=bare.outputs["said"]).output

    assert run(contained, name="it's").outputs["Output"] == {
        "given": "[count=5;][--name][it's][n:it's][with][data]",
        "bare": "[count=2;][--anonymous][without]",
    }


@dsl.component
def both(given: str, bare: str) -> dict[str, str]:
    return {"given": given, "bare": bare}


def test_the_executor_input_as_json(run):
    """`{{$}}` is the whole of what the component is given, as JSON."""

    @dsl.container_component
    def show(text: str, said: OutputPath(str)):
        return dsl.ContainerSpec(
            image="alpine:3",
            command=["sh", "-c", 'printf %s "$1" > "$0"', said],
            args=[dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER],
        )

    @dsl.pipeline
    def contained() -> str:
        return show(text="it's").outputs["said"]

    given = json.loads(run(contained).outputs["Output"])
    assert given["inputs"]["parameterValues"] == {"text": "it's"}


def test_a_command_that_fails(run):
    """An exit code other than 0 is a failure, and it is named."""

    @dsl.container_component
    def fail():
        return dsl.ContainerSpec(image="alpine:3", command=["sh", "-c", "echo sorry >&2; exit 7"])

    @dsl.pipeline
    def contained():
        fail()

    outcome = run(contained)
    assert (outcome.state, outcome.states) == ("failed", {"fail": "failed"})
    assert "7" in outcome.problem
    assert "sorry" in outcome.text()


def test_a_command_that_is_not_here(run):
    """A program that only the image has is an error that says so."""

    @dsl.container_component
    def fail():
        return dsl.ContainerSpec(image="alpine:3", command=["no-such-program-here", "x"])

    @dsl.pipeline
    def contained():
        fail()

    outcome = run(contained)
    assert outcome.state == "failed"
    assert "no-such-program-here" in outcome.problem


def test_an_output_that_the_command_did_not_write(run):
    """A declared output parameter must be written."""

    @dsl.container_component
    def forget(said: OutputPath(str)):
        return dsl.ContainerSpec(image="alpine:3", command=["true"], args=[said])

    @dsl.pipeline
    def contained() -> str:
        return forget().outputs["said"]

    outcome = run(contained)
    assert (outcome.state, outcome.states) == ("failed", {"forget": "failed"})
    assert "said" in outcome.problem
