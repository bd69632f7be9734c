"""What a step under Kubeflow Pipelines finds in an artifact's metadata is what was written."""

from kfp.dsl import Dataset

from headrace.executing import context, entry
from headrace.executing.metadata import as_written


def test_lists_and_dicts_are_unwrapped_and_additions_left_out():
    kept = {
        "text": "it's", "number": 3, "yes": 1,
        "list": {"list": [1, {"list": [2]}]},
        "dict": {"struct": {"list": [1], "deep": {"struct": {}}}},
        "display_name": "data", "store_session_info": "{}",
    }  # fmt: skip
    assert as_written(kept) == {
        "text": "it's", "number": 3, "yes": 1,
        "list": [1, {"list": [2]}],
        "dict": {"list": [1], "deep": {"struct": {}}},
    }  # fmt: skip


def test_a_step_sees_it_so_under_kfp_alone(monkeypatch):
    load = entry.load(f"{__name__}:columns", engine={"kind": "python"}, code="")
    given = {"columns": {"list": ["a", "b"]}}

    def seen():
        return load(data=Dataset(metadata=dict(given)), more=[Dataset(metadata=dict(given))])

    assert seen() == [given["columns"]] * 2
    monkeypatch.setenv(context.KFP_POD, "pod")
    assert seen() == [["a", "b"]] * 2


def columns(data: Dataset, more: list[Dataset]) -> list:
    return [one.metadata["columns"] for one in [data, *more]]
