"""KFP's placeholders are filled in once, and what is filled in is left as it is."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import StepFailed
from headrace.running.placeholders import command_line, fill

RUN = {"pipeline_job_uuid": "run-1", "pipeline_task_name": "train"}

texts = st.one_of(
    st.text(max_size=10),
    st.lists(st.sampled_from([
        "{{$", "}}", "{{", "{{$}}", "{{$.pipeline_job_uuid}}", "{{$.inputs.parameters['a']}}",
        "'", "]", "\\1", "\\g<0>", "\n", "x",
    ]), max_size=6).map("".join),
)  # fmt: skip


@given(st.lists(st.tuples(st.text("xy {}$\n", max_size=5).filter(lambda t: "{{$" not in t),
                          st.sampled_from("abc")), max_size=4),
       st.fixed_dictionaries({"a": texts, "b": texts, "c": texts}))  # fmt: skip
def test_values_stay_as_they_are(parts, values):
    """Whatever a value holds, placeholders too, it is put in as it is and looked into no more."""
    template, wanted, end = "", "", "."
    for text, name in parts:
        piece = text.rstrip("{") + end
        template += piece + "{{$.inputs.parameters['" + name + "']}}"
        wanted += piece + values[name]
    assert fill(template, RUN, values) == wanted
    argument = {"inputs": {"parameterValues": values, "artifacts": {}}}
    assert command_line([template], RUN, argument) == [wanted]


@given(st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False),
              st.text(max_size=8).filter(lambda t: "{{$" not in t)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.text(max_size=3).filter(lambda t: "{{$" not in t), inner, max_size=3),
    max_leaves=8,
))  # fmt: skip
def test_what_holds_no_placeholder_is_not_touched(value):
    assert fill(value, {}, {}) == value


def test_at_any_depth():
    value = {"{{$.pipeline_task_name}}": ["a", {"b": "{{$.inputs.parameters['n']}}/{{x}}"}], "c": 1}
    assert fill(value, RUN, {"n": {"k": [1, True]}}) == {
        "train": ["a", {"b": '{"k": [1, true]}/{{x}}'}], "c": 1,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["{{$.inputs.parameters['zzz']}}", "{{$.no_such_thing}}"])
def test_what_has_no_value(text):
    with pytest.raises(StepFailed) as failed:
        fill(f"a {text}", RUN, {"n": 1})
    assert str(failed.value) == (
        f"The placeholder {text} has no value here.\n"
        "  try: an input that was left out cannot be part of a text, and what only Kubernetes "
        "knows is not known on the laptop"
    )


EXECUTOR_INPUT = {
    "inputs": {
        "parameterValues": {"text": "it's", "n": 3, "none": None},
        "artifacts": {"data": {"artifacts": [
            {"uri": "/home/data", "metadata": {"rows": 3, "kind": "it's"}}
        ]}},
    },
    "outputs": {
        "parameters": {"out": {"outputFile": "/work/out"}},
        "artifacts": {"model": {"artifacts": [{"uri": "/home/model", "metadata": {}}]}},
        "outputFile": "/work/executor_output.json",
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("plain", ["plain"]),
        ("{{$.inputs.parameters['text']}}", ["it's"]),
        ('{{$.inputs.parameters["n"]}}', ["3"]),
        ("{{$.inputs.parameters['missing']}}", [""]),
        ("-x={{$.inputs.artifacts['data'].path}}", ["-x=/home/data"]),
        ("{{$.inputs.artifacts['data'].uri}}", ["/home/data"]),
        ("{{$.inputs.artifacts['data'].metadata['rows']}}", ["3"]),
        ("{{$.inputs.artifacts['data'].metadata['none']}}", [""]),
        ("{{$.inputs.artifacts['data'].metadata}}", ['{"rows": 3, "kind": "it\'s"}']),
        ("{{$.inputs.artifacts['missing'].path}}", [""]),
        ("{{$.outputs.parameters['out'].output_file}}", ["/work/out"]),
        ("{{$.outputs.artifacts['model'].path}}", ["/home/model"]),
        ("{{$.outputs.output_file}}", ["/work/executor_output.json"]),
        ("{{$.pipeline_task_name}}/{{x}}", ["train/{{x}}"]),
        ("{{$}}", [json.dumps(EXECUTOR_INPUT)]),
        ('{"Concat": ["a", "{{$.inputs.parameters[\'text\']}}", "b"]}', ["ait'sb"]),
        ('{"IfPresent": {"InputName": "n", "Then": ["-n", "{{$.inputs.parameters[\'n\']}}"], '
         '"Else": "no"}}', ["-n", "3"]),
        ('{"IfPresent": {"InputName": "none", "Then": ["-n"], "Else": "no"}}', ["no"]),
        ('{"IfPresent": {"InputName": "none", "Then": ["-n"]}}', []),
        ('{"IfPresent": {"InputName": "data", "Then": "yes"}}', ["yes"]),
        ('{"Concat": ["a", {"IfPresent": {"InputName": "n", "Then": {"Concat": ["b", "c"]}}}]}',
         ["abc"]),
    ],
)  # fmt: skip
def test_words_of_a_command(part, words):
    assert command_line([part], RUN, EXECUTOR_INPUT) == words


def test_json_that_is_no_structure_stays_a_word():
    for word in ('{"a": 1}', '["x"]', '{"Concat"', "{}"):
        assert command_line([word], RUN, EXECUTOR_INPUT) == [word]


def test_a_structure_inside_which_a_value_looks_like_one():
    given_ = {"inputs": {"parameterValues": {"a": '{"Concat": ["x"]}'}, "artifacts": {}}}
    words = command_line(["{{$.inputs.parameters['a']}}"], RUN, given_)
    assert words == ['{"Concat": ["x"]}']
    assert not re.search("x$", words[0])
