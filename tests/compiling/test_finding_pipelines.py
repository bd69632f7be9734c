"""What is typed for a pipeline, and what is said when it is not there or does not load."""

import sys
import textwrap
from pathlib import Path

import pytest

from headrace.compiling.locate import find_pipeline, load_pipeline
from headrace.compiling.pipeline import compile_pipeline
from headrace.core.errors import UsageError

PIPELINE = """
    from kfp import dsl

    @dsl.component
    def hello() -> str:
        return "hello"

    @dsl.pipeline(name="{0}")
    def {0}():
        hello()
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project with some pipelines, in which the test stands; modules are forgotten after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known = set(sys.modules)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    write("pipelines/flights/pipeline.py", PIPELINE.format("flights"))
    write("pipelines/digits/pipeline.py", PIPELINE.format("digits"))
    write("alone.py", PIPELINE.format("alone"))
    write.root = tmp_path
    yield write
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def refused(call, *arguments):
    with pytest.raises(UsageError) as wrong:
        call(*arguments)
    return wrong.value.what, list(wrong.value.where), wrong.value.hint


@pytest.mark.parametrize(
    ("typed", "file", "name"),
    [
        ("pipelines/flights", "pipelines/flights/pipeline.py", None),
        ("pipelines/flights/", "pipelines/flights/pipeline.py", None),
        ("pipelines/flights/pipeline.py", "pipelines/flights/pipeline.py", None),
        ("pipelines/flights/pipeline.py:flights", "pipelines/flights/pipeline.py", "flights"),
        ("./alone.py", "alone.py", None),
    ],
)
def test_what_can_be_typed(place, typed, file, name):
    found = find_pipeline(typed)
    assert (found.path, found.name, found.typed) == (place.root / file, name, typed)
    assert not found.compiled


def test_compiled_pipelines(place):
    for name in ("a.yaml", "b.yml"):
        place(name, "")
        assert find_pipeline(name).compiled


def test_a_name_almost_right(place):
    where = [str(place.root / "pipelines/flihgts")]
    assert refused(find_pipeline, "pipelines/flihgts") == (
        "There is no pipeline at 'pipelines/flihgts'.", where,
        "Did you mean 'pipelines/flights' or 'pipelines/digits'?",
    )  # fmt: skip


def test_a_name_without_its_folder(place):
    what, where, hint = refused(find_pipeline, "flights")
    assert (what, where) == ("There is no pipeline at 'flights'.", [str(place.root / "flights")])
    assert "pipelines/flights" in hint


def test_nothing_like_it(place):
    _, _, hint = refused(find_pipeline, "zzz")
    assert hint == "There is: alone.py, pipelines/digits, pipelines/flights."


def test_a_folder_that_does_not_exist(place):
    _, _, hint = refused(find_pipeline, "no/such/folder")
    assert hint == "There is: alone.py, pipelines/digits, pipelines/flights."


def test_a_folder_without_a_pipeline(place):
    place("other/main.py", "")
    place("other/zed.py", "")
    assert refused(find_pipeline, "other") == (
        "The folder 'other' has no pipeline.py.", [str(place.root / "other")],
        "name the file: other/main.py, other/zed.py",
    )  # fmt: skip


def test_a_folder_with_no_python(place):
    assert refused(find_pipeline, "pipelines") == (
        "The folder 'pipelines' has no pipeline.py.", [str(place.root / "pipelines")],
        "Did you mean 'pipelines/digits' or 'pipelines/flights'?",
    )  # fmt: skip


def test_a_file_of_another_kind(place):
    place("notes.txt", "")
    assert refused(find_pipeline, "notes.txt") == (
        "'notes.txt' is neither Python nor a compiled pipeline.", [],
        "give a folder with a pipeline.py, a .py file, or the YAML of `headrace compile`",
    )  # fmt: skip


def load(typed):
    return load_pipeline(find_pipeline(typed))


def test_it_loads(place):
    assert load("pipelines/flights").name == "flights"
    assert load("pipelines/digits").name == "digits"
    assert load("alone.py").name == "alone"
    assert load("pipelines/flights").name == "flights"


def test_projects_with_modules_of_the_same_names(place):
    """Two projects loaded by one process do not get each other's helpers."""
    text = """
        from kfp import dsl
        import headrace as hr
        import naming

        @hr.step
        def hello() -> str:
            return naming.NAME

        @dsl.pipeline(name=naming.NAME)
        def main():
            hello()
    """
    for name in ("one", "two"):
        place(f"{name}/pipeline.py", text)
        place(f"{name}/naming.py", f"NAME = '{name}'\n")
    assert [load(one).name for one in ("one", "two", "one")] == ["one", "two", "one"]
    names = [compile_pipeline(find_pipeline(one)).name for one in ("two", "one")]
    assert names == ["two", "one"]


def test_a_pipeline_in_a_package(place):
    """The folder above the package is where modules are looked for."""
    place("src/project/__init__.py", "")
    place("src/project/naming.py", "NAME = 'inner'\n")
    place(
        "src/project/pipeline.py",
        """
        from kfp import dsl
        from project.naming import NAME
        from . import naming

        @dsl.component
        def hello() -> str:
            return "hello"

        @dsl.pipeline(name=NAME)
        def main():
            hello()
        """,
    )
    assert load("src/project").name == "inner"


def test_several_pipelines(place):
    both = PIPELINE.format("first") + PIPELINE.format("second").replace("from kfp import dsl", "")
    path = place("both.py", both)
    assert refused(load, "both.py") == (
        "both.py defines 2 pipelines.", [str(path)], "say which: both.py:first",
    )  # fmt: skip
    assert load("both.py:second").name == "second"
    assert refused(load, "both.py:secnd") == (
        "both.py defines no pipeline 'secnd'.", [str(path)], "Did you mean 'second'?",
    )  # fmt: skip


def test_of_several_pipelines_the_one_named_like_the_folder(place):
    both = PIPELINE.format("first") + PIPELINE.format("second").replace("from kfp import dsl", "")
    place("second/pipeline.py", both)
    place("first.py", both)
    assert load("second").name == "second"
    assert load("first.py").name == "first"


def test_no_pipeline(place):
    path = place("none.py", "x = 1\n")
    assert refused(load, "none.py") == (
        "none.py defines no pipeline.", [str(path)],
        "decorate a function with @dsl.pipeline(name=…)",
    )  # fmt: skip


def test_a_syntax_error(place):
    path = place("broken.py", "x = 1\ndef f(:\n")
    assert refused(load, "broken.py") == (
        "The pipeline cannot be loaded: SyntaxError: invalid syntax (broken.py, line 2)",
        [f"{path}:2: def f(:"], "mend the error in the pipeline's file",
    )  # fmt: skip


def test_a_module_that_is_missing(place):
    path = place("missing.py", "import no_such_thing\n")
    assert refused(load, "missing.py") == (
        "The pipeline cannot be loaded: ModuleNotFoundError: No module named 'no_such_thing'",
        [f"{path}:1 in <module>: import no_such_thing"],
        "install the package that has 'no_such_thing', or mend the import",
    )  # fmt: skip


def test_an_error_in_a_module_that_it_imports(place):
    helper = place("helper.py", "def f():\n    return 1 / 0\n\nf()\n")
    path = place("uses.py", "import helper\n")
    assert refused(load, "uses.py") == (
        "The pipeline cannot be loaded: ZeroDivisionError: division by zero",
        [
            f"{path}:1 in <module>: import helper", f"{helper}:4 in <module>: f()",
            f"{helper}:2 in f: return 1 / 0",
        ],
        "mend the error in the pipeline's file",
    )  # fmt: skip


def test_a_file_that_ends_the_interpreter(place):
    path = place("leaves.py", "import sys\nsys.exit(3)\n")
    assert refused(load, "leaves.py") == (
        "The pipeline cannot be loaded: SystemExit: 3",
        [f"{path}:2 in <module>: sys.exit(3)"], "mend the error in the pipeline's file",
    )  # fmt: skip


def test_a_file_that_is_mended_loads(place):
    place("mended.py", "import no_such_thing\n")
    refused(load, "mended.py")
    place("mended.py", PIPELINE.format("mended"))
    assert load("mended.py").name == "mended"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [", "bad.yaml is not YAML: "),
        ("", "bad.yaml is not a compiled pipeline."),
        ("just words", "bad.yaml is not a compiled pipeline."),
        ("- 1\n- 2\n", "bad.yaml is not a compiled pipeline."),
        ("apiVersion: v1\nkind: Pod\n", "bad.yaml is not a compiled pipeline."),
        ("\x00", "bad.yaml is not YAML: "),
    ],
)
def test_yaml_that_is_no_pipeline(place, text, what):
    path = place("bad.yaml", text)
    said, where, _ = refused(compile_pipeline, find_pipeline("bad.yaml"))
    assert said.startswith(what)
    assert where == [str(path)]


def test_yaml_that_is_no_text(place):
    (place.root / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    said, where, _ = refused(compile_pipeline, find_pipeline("bad.yaml"))
    assert said.startswith("bad.yaml is not YAML: ")
    assert where == [str(Path("bad.yaml").resolve())]
