"""A step's program finds its function, with the signature that KFP's executor is to see."""

import importlib
import inspect
import os
import sys
import textwrap
import threading

import pytest
from kfp.dsl import Dataset, Output

from headrace.core.errors import StepFailed
from headrace.executing import main as stepping
from headrace.executing.context import context
from headrace.executing.entry import find, load

TEXT = """
    from __future__ import annotations

    import headrace as hr
    from kfp.dsl import Dataset, Output

    @hr.step
    def plain(a: int, data: Output[Dataset], b: str = "x") -> int:
        return a, data, b

    @hr.spark()
    def rows(session, a: int) -> str: ...

    def bare(a: int) -> int:
        return a + 1

    NUMBER = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    name = f"found_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(TEXT))
    (tmp_path / f"{name}_broken.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(name, None)


def parameters(function):
    return {
        name: (one.annotation, one.default)
        for name, one in inspect.signature(function).parameters.items()
    }


def test_a_plain_step(module):
    run = load(f"{module}:plain", engine={"kind": "python"}, code="sha256:0")
    empty = inspect.Parameter.empty
    assert parameters(run) == {
        "a": (int, empty), "data": (Output[Dataset], empty), "b": (str, "x"),
    }  # fmt: skip
    assert inspect.signature(run).return_annotation is int
    assert run.__name__ == "plain"
    assert run.__annotations__ == {
        "a": int, "data": Output[Dataset], "b": str, "return": int,
    }  # fmt: skip
    assert run(a=1, data=None, b="y") == (1, None, "y")


def test_a_session_is_no_input(module):
    run = load(f"{module}:rows", engine={"kind": "spark"}, code="sha256:0")
    assert parameters(run) == {"a": (int, inspect.Parameter.empty)}


def test_a_function_that_is_not_decorated(module):
    assert load(f"{module}:bare", engine={"kind": "python"}, code="")(a=1) == 2


def refused(target):
    with pytest.raises(StepFailed) as failed:
        find(target)
    return failed.value.what, list(failed.value.where), failed.value.hint


def test_what_is_not_there(module, tmp_path):
    assert refused("no_such_module:f") == (
        "The step's module 'no_such_module' is not importable: no module 'no_such_module'.", [],
        "the project's code must travel with the step: compile it again",
    )  # fmt: skip
    assert refused(f"{module}:plane") == (
        f"The module '{module}' has no function 'plane'.", [str(tmp_path / f"{module}.py")],
        "Did you mean 'plain'?",
    )  # fmt: skip
    assert refused(f"{module}:NUMBER") == (f"'{module}:NUMBER' is a int, not a function.", [], "")


def test_a_library_that_the_module_misses(module):
    """That is the user's affair, and Python's own words say it best."""
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        find(f"{module}_broken:f")


@pytest.fixture
def step(monkeypatch):
    monkeypatch.setenv("HEADRACE_STEP", "loop/0/train")
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.setattr(stepping, "_TRACKING_WAIT", 0.3)


def test_waiting_for_mlflows_run(step, tmp_path):
    """The recorder makes the step's run; the step waits until its id is there."""
    file = tmp_path / "mlflow.json"

    def record():
        file.write_text('{"steps": {"other"')  # half written
        file.write_text('{"steps": {"other": "1"}}')
        file.write_text('{"steps": {"other": "1", "loop/0/train": "abc"}}')

    recorder = threading.Timer(0.05, record)
    recorder.start()
    stepping._await_tracking({"tracking": str(file)})
    recorder.join()
    assert os.environ["MLFLOW_RUN_ID"] == "abc"


def test_not_waiting_for_ever(step, tmp_path):
    stepping._await_tracking({"tracking": str(tmp_path / "never.json")})
    assert "MLFLOW_RUN_ID" not in os.environ


def test_not_waiting_at_all(step, monkeypatch):
    """A step whose code does not use MLflow."""
    monkeypatch.setattr(stepping, "_TRACKING_WAIT", 10_000)
    stepping._await_tracking({})
    assert "MLFLOW_RUN_ID" not in os.environ


def test_a_step_called_from_nowhere(monkeypatch, tmp_path):
    """On a cluster, or by KFP's own runner, there is no context of ours."""
    for name in list(os.environ):
        if name.startswith("HEADRACE_"):
            monkeypatch.delenv(name)
    found = context()
    assert (found.run, found.step, found.work, found.label) == ("", "", None, "headrace")
    assert found.checkpoints.parent == found.scratch


def test_a_steps_place(monkeypatch, tmp_path):
    for name, value in {
        "RUN": "r-1", "STEP": "a/b", "WORK": str(tmp_path), "CHECKPOINTS": str(tmp_path / "c"),
    }.items():  # fmt: skip
        monkeypatch.setenv(f"HEADRACE_{name}", value)
    found = context()
    assert (found.run, found.step, found.label) == ("r-1", "a/b", "r-1/a/b")
    assert (found.work, found.scratch, found.checkpoints) == (tmp_path, tmp_path, tmp_path / "c")
