"""`headrace run` and `compile` from the outside: one project, real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from textwrap import dedent

import pytest

pytestmark = pytest.mark.engine

PIPELINE = """
from kfp import dsl
from tiny import steps

@dsl.pipeline(name="tiny")
def tiny(seconds: float = 0.0, fail: bool = False):
    first = steps.first()
    steps.second(base=first.output, seconds=seconds, fail=fail)
"""

STEPS = """
import time
import headrace as hr

@hr.step
def first() -> int:
    print("hello from the first step")
    return 3

@hr.step
def second(base: int, seconds: float, fail: bool) -> int:
    time.sleep(seconds)
    if fail:
        raise KeyError("dep_dela")
    return base * 2
"""

PROGRAM = "import sys; from headrace.cli.main import main; sys.exit(main())"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "pyproject.toml").write_text("[project]\nname = 'project'\nversion = '0'\n")
    pipeline = folder / "pipelines" / "tiny"
    pipeline.mkdir(parents=True)
    (pipeline / "__init__.py").touch()
    (pipeline / "pipeline.py").write_text(dedent(PIPELINE))
    (pipeline / "steps.py").write_text(dedent(STEPS))
    return folder


@pytest.fixture(scope="module")
def headrace_in(project):
    environment = {key: value for key, value in os.environ.items() if key != "HEADRACE_HOME"}

    def start(*words):
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            cwd=project,
            env={**environment, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def finished(process):
    out, err = process.communicate()
    return process.returncode, out, err


def test_a_run_is_told_line_by_line_and_summed_up(headrace_in):
    code, out, err = finished(headrace_in("run", "pipelines/tiny"))
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert [line.split(" ", 1)[1].split(" after ")[0] for line in lines[1:5]] == [
        "first started (python)",
        "first succeeded",
        "second started (python)",
        "second succeeded",
    ]
    assert lines[5].startswith("✔ tiny succeeded in ")
    assert lines[-1].startswith("logs      .headrace/runs/tiny-")
    assert finished(headrace_in("logs", "latest", "first"))[1] == "hello from the first step\n"


def test_with_json_standard_output_is_one_object_and_nothing_else(headrace_in):
    code, out, err = finished(headrace_in("run", "pipelines/tiny", "--json"))
    told = json.loads(out)
    assert (code, err, told["state"], told["exit_code"]) == (0, "", "succeeded", 0)
    assert {step["name"] for step in told["steps"]} == {"first", "second"}
    assert told == json.loads(finished(headrace_in("runs", told["run"], "--json"))[1])


def test_a_step_that_raises_ends_with_1_and_the_users_own_lines(headrace_in):
    code, out, _ = finished(headrace_in("run", "pipelines/tiny", "-p", "fail=true"))
    assert code == 1
    assert '  File "tiny/steps.py", line ' in out
    assert '    raise KeyError("dep_dela")' in out
    assert "again     the same command continues after 1 complete step" in out


def test_a_name_is_had_once_and_told_so(headrace_in):
    words = ("run", "pipelines/tiny", "-p", "fail=true", "--name", "once")
    code, out, _ = finished(headrace_in(*words))
    assert code == 1
    again = "again     the same command with another --name continues after 1 complete step"
    assert again in out
    code, _, errors = finished(headrace_in(*words))
    assert code == 2
    assert errors.startswith("error: There is a run named 'once' already.\n")
    assert "choose another name, or leave --name out" in errors


def test_quiet_says_one_line_when_all_goes_well(headrace_in):
    code, out, err = finished(headrace_in("run", "pipelines/tiny", "--quiet"))
    assert (code, err, len(out.splitlines())) == (0, "", 1)
    assert out.startswith("✔ tiny succeeded in ")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["-p", "secnods=1"], "Did you mean 'seconds'?"),
        (["--from", "secnd"], "Did you mean 'second'?"),
    ],
)
def test_near_misses_are_named_and_nothing_starts(headrace_in, project, words, hint):
    before = sorted((project / ".headrace" / "runs").iterdir())
    code, out, err = finished(headrace_in("run", "pipelines/tiny", *words))
    assert (code, out) == (2, "")
    assert err.endswith(f"try: {hint}\n")
    assert sorted((project / ".headrace" / "runs").iterdir()) == before


def test_ctrl_c_cancels_and_ends_with_130(headrace_in):
    process = headrace_in("run", "pipelines/tiny", "-p", "seconds=60")
    for line in process.stdout:
        if "second started" in line:
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    code, out, _ = finished(process)
    assert code == 130
    assert "■ second  python" in out
    assert "again     the same command continues after 1 complete step" in out


def test_a_compiled_pipeline_is_the_same_each_time(headrace_in, project):
    code, out, _ = finished(headrace_in("compile", "pipelines/tiny", "-o", "tiny.yaml"))
    assert code == 0
    assert out.splitlines()[0].startswith("tiny.yaml: pipeline tiny, code sha256:")
    assert out.splitlines()[1:] == ["  fail: boolean = False", "  seconds: double = 0.0"]
    again = finished(headrace_in("compile", "pipelines/tiny", "-o", "-"))[1]
    assert again == (project / "tiny.yaml").read_text()
