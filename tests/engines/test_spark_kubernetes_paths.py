"""Artifacts' paths in a Spark step on a cluster, and which folder of code goes to executors."""

import sys
import zipfile

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, InputPath, Metrics, OutputPath

from headrace.engines.spark_paths import code_root, for_spark, pack, read_by_spark


def paths(arguments):
    return {
        name: [each.path for each in one] if isinstance(one, list) else one.path
        for name, one in arguments.items()
    }


@pytest.fixture
def arguments():
    return {
        "table": Dataset(name="table", uri="s3://bucket/run/table", metadata={"rows": 3}),
        "parts": [Dataset(uri="s3://bucket/a"), Dataset(uri="s3://bucket/b")],
        "local": Dataset(uri="/data/local"),
        "scores": Metrics(uri="s3://other/scores"),
    }


def test_paths_are_uris_of_spark_and_nothing_of_it_stays(arguments):
    before = {
        name: [vars(each).copy() for each in (one if isinstance(one, list) else [one])]
        for name, one in arguments.items()
    }
    with read_by_spark(arguments):
        assert paths(arguments) == {
            "table": "s3a://bucket/run/table",
            "parts": ["s3a://bucket/a", "s3a://bucket/b"],
            "local": "/data/local",
            "scores": "s3a://other/scores",
        }
        assert arguments["table"].uri == "s3://bucket/run/table"
    after = {
        name: [vars(each) for each in (one if isinstance(one, list) else [one])]
        for name, one in arguments.items()
    }
    assert after == before
    assert arguments["table"].path == "/s3/bucket/run/table"


def test_they_are_put_back_when_the_function_fails(arguments):
    with pytest.raises(RuntimeError), read_by_spark(arguments):
        raise RuntimeError
    assert arguments["table"].custom_path == ""


def test_what_the_function_sets_stays_in_the_stores_terms(arguments):
    with read_by_spark(arguments):
        arguments["table"].path = f"{arguments['table'].path}/v2"
        arguments["table"].metadata["rows"] = 4
        arguments["scores"].custom_path = "/tmp/scores.json"
    assert arguments["table"].uri == "s3://bucket/run/table/v2"
    assert arguments["table"].metadata == {"rows": 4}
    assert arguments["scores"].path == "/tmp/scores.json"


def test_an_artifacts_path_that_comes_alone_is_a_uri_too():
    annotations = {
        "raw": InputPath(Dataset), "out": OutputPath("Dataset"), "count": OutputPath(int),
        "folder": str, "table": Input[Dataset],
    }  # fmt: skip
    given = {
        "raw": "/s3/bucket/raw", "out": "/s3/bucket/out", "count": "/s3/bucket/count",
        "folder": "/s3/bucket/folder", "table": Dataset(uri="s3://bucket/table"),
    }  # fmt: skip
    assert for_spark(given, annotations) == given | {
        "raw": "s3a://bucket/raw",
        "out": "s3a://bucket/out",
    }


@pytest.mark.parametrize(
    "module, file, root",
    [
        ("flights.features", "/code/ab/flights/features.py", "/code/ab"),
        ("flights", "/code/ab/flights/__init__.py", "/code/ab"),
        ("a.b.c", "/code/a/b/c.py", "/code"),
        ("steps", "/code/steps.py", "/code"),
    ],
)
def test_the_folder_that_a_module_was_imported_from(module, file, root):
    assert str(code_root(module, file)) == root


def test_an_archive_has_the_whole_folder_but_nothing_compiled(tmp_path):
    code = tmp_path / "code"
    for name, text in {
        "flights/words.py": "WORD = 1", "flights/words.csv": "a,b", "top.py": "",
        "flights/__pycache__/words.cpython-312.pyc": "x",
    }.items():  # fmt: skip
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).write_text(text)
    with zipfile.ZipFile(pack(code, tmp_path / "code.zip")) as packed:
        assert {name: packed.read(name).decode() for name in packed.namelist()} == {
            "flights/words.csv": "a,b",
            "flights/words.py": "WORD = 1",
            "top.py": "",
        }


def test_the_code_of_a_step_is_found_by_its_module_and_that_of_libraries_is_in_the_image(
    tmp_path, monkeypatch
):
    from headrace.executing.spark_driver import code_of

    (tmp_path / "wheat").mkdir()
    (tmp_path / "wheat/steps.py").write_text("def rows(spark): ...")
    monkeypatch.syspath_prepend(tmp_path)
    import wheat.steps  # type: ignore[import-not-found]

    try:
        assert code_of(wheat.steps.rows) == tmp_path
    finally:
        del sys.modules["wheat"], sys.modules["wheat.steps"]
    assert code_of(dsl.component) is None
    assert code_of(code_of) is None
