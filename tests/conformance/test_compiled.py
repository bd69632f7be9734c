"""The compiled file runs like the pipeline it was compiled from, whoever compiled it."""

# ruff: noqa: UP014 (types and groups are written as KFP's users write them)

from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from kfp import compiler, components, dsl
from kfp.dsl import PipelineTaskFinalStatus

from headrace.compiling.pipeline import compile_pipeline, read_compiled


@dsl.component
def say(text: str) -> str:
    return text


@dsl.component
def clean(status: PipelineTaskFinalStatus) -> str:
    return status.state


@dsl.pipeline(name="everything", description="It's a bit of everything")
def everything(text: str, count: int = 2) -> NamedTuple("Outputs", branch=str, each=list):
    with dsl.ExitHandler(clean()):
        say(text=f"{text} {count}")
    with dsl.If(text == 'it\'s "so"'):
        a = say(text="yes")
    with dsl.Elif(count > 5):
        b = say(text="many")
    with dsl.Else():
        c = say(text="no")
    with dsl.ParallelFor(["x", "it's"], parallelism=1) as item:
        d = say(text=item).set_retry(num_retries=1).set_env_variable("A", "it's")
    outputs = NamedTuple("Outputs", branch=str, each=list)
    return outputs(dsl.OneOf(a.output, b.output, c.output), dsl.Collected(d.output))


def headrace_compiles(target: Path) -> None:
    compile_pipeline(everything).write(target)


def kfp_compiles(target: Path) -> None:
    compiler.Compiler().compile(everything, str(target))


@pytest.mark.parametrize("compile_to", [headrace_compiles, kfp_compiles])
def test_a_file_runs_like_its_pipeline(run, tmp_path, compile_to):
    """The IR holds all that a run needs: a file written by Headrace or by KFP's own compiler
    runs as the pipeline itself would."""
    target = tmp_path / "pipeline.yaml"
    compile_to(target)
    outcomes = {}
    for text, count in (('it\'s "so"', 9), ("x", 9), ("x", 1)):
        outcome = run(read_compiled(target), text=text, count=count)
        outcomes[text, count] = (outcome.state, outcome.outputs, outcome.of("clean")["Output"])
    each = ["x", "it's"]
    assert outcomes == {
        ('it\'s "so"', 9): ("succeeded", {"branch": "yes", "each": each}, "SUCCEEDED"),
        ("x", 9): ("succeeded", {"branch": "many", "each": each}, "SUCCEEDED"),
        ("x", 1): ("succeeded", {"branch": "no", "each": each}, "SUCCEEDED"),
    }


def test_the_file_is_plain_kfp_ir(tmp_path):
    """KFP's own SDK loads the file; compiled again it is the same, byte for byte; and it names
    no path of this machine."""
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    headrace_compiles(first)
    headrace_compiles(second)
    loaded = components.load_component_from_file(str(first))
    assert (loaded.name, set(loaded.component_spec.inputs)) == ("everything", {"text", "count"})
    assert first.read_bytes() == second.read_bytes()
    assert str(Path(__file__).parent) not in first.read_text()


def test_conditions_in_the_file_are_quoted(tmp_path):
    """KFP's compiler writes texts into conditions as they are, which a cluster cannot read
    when there is a quote in them. Headrace's file has them escaped."""
    target = tmp_path / "pipeline.yaml"
    headrace_compiles(target)
    root = next(yaml.safe_load_all(target.read_text()))
    branches = root["components"]["comp-condition-branches-2"]["dag"]["tasks"]
    conditions = sorted(task["triggerPolicy"]["condition"] for task in branches.values())
    same = r"""inputs.parameter_values['pipelinechannel--text'] == 'it\'s "so"'"""
    many = "int(inputs.parameter_values['pipelinechannel--count']) > 5"
    assert conditions == sorted([same, f"!({same}) && {many}", f"!({same}) && !({many})"])


COMPONENT = """
name: Shout
inputs:
- {name: text, type: String}
- {name: times, type: Integer, default: '2'}
outputs:
- {name: loud, type: String}
implementation:
  container:
    image: alpine:3
    command: [sh, -c, 'mkdir -p "$(dirname "$2")" && printf "%s x%s" "$0" "$1" > "$2"']
    args: [{inputValue: text}, {inputValue: times}, {outputPath: loud}]
"""


def test_a_component_loaded_from_yaml(run):
    """Components that come as text take part like any other."""
    shout = components.load_component_from_text(COMPONENT)

    @dsl.pipeline
    def loud() -> str:
        return say(text=shout(text="it's").outputs["loud"]).output

    assert run(loud).outputs == {"Output": "it's x2"}


def test_a_pipeline_loaded_from_yaml(run, tmp_path):
    """A compiled pipeline, loaded, is a component of another."""
    target = tmp_path / "pipeline.yaml"
    kfp_compiles(target)
    loaded = components.load_component_from_file(str(target))

    @dsl.pipeline
    def outer() -> str:
        return say(text=loaded(text='it\'s "so"').outputs["branch"]).output

    outcome = run(outer)
    assert outcome.outputs == {"Output": "yes"}
    assert "everything/for-loop-7/1/say-5" in outcome.states


def test_files_within_a_component(run, tmp_path):
    """`embedded_artifact_path` puts a file or folder into the component itself; the function
    finds it as an artifact that nobody passes."""
    folder = tmp_path / "embedded"
    folder.mkdir()
    (folder / "note.txt").write_text("it's embedded")

    @dsl.component(embedded_artifact_path=str(folder))
    def look(files: dsl.EmbeddedInput[dsl.Dataset]) -> str:
        import os

        with open(os.path.join(files.path, "note.txt")) as file:
            return file.read()

    @dsl.pipeline
    def embedding() -> str:
        return look().output

    assert run(embedding).outputs == {"Output": "it's embedded"}
