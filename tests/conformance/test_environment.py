"""What a step finds around it: variables, secrets, packages, a workspace, a process of its own."""

import hashlib
import sys
import time
from pathlib import Path

import pytest
from kfp import dsl
from kfp.dsl import PipelineTaskFinalStatus

from headrace.core.errors import HeadraceError


@dsl.component
def say(text: str) -> str:
    return text


@dsl.component
def variables(names: list[str]) -> dict[str, str]:
    import os

    return {name: os.environ[name] for name in names if name in os.environ}


@dsl.component
def fingerprint(name: str) -> str:
    import hashlib
    import os

    value = os.environ.get(name)
    return "unset" if value is None else hashlib.sha256(value.encode()).hexdigest()


def test_variables_of_a_task(run):
    """`set_env_variable` sets a variable for that task alone, to exactly that text."""

    @dsl.pipeline
    def varied():
        first = variables(names=["CASE_A", "CASE_B"])
        first.set_env_variable("CASE_A", 'it\'s "$HOME" $(id)\n{x}')
        first.set_env_variable("CASE_B", "")
        variables(names=["CASE_A", "CASE_B"])

    outcome = run(varied)
    found = outcome.of("variables")["Output"]
    assert found == {"CASE_A": 'it\'s "$HOME" $(id)\n{x}', "CASE_B": ""}
    assert outcome.of("variables-2") == {"Output": {}}


def test_variables_of_each_iteration(run):
    """A task in a loop has its variables in every iteration."""

    @dsl.pipeline
    def varied():
        with dsl.ParallelFor([1, 2]):
            variables(names=["CASE_A"]).set_env_variable("CASE_A", "a")

    outcome = run(varied)
    found = [outcome.of(step)["Output"] for step in outcome.states]
    assert found == [{"CASE_A": "a"}, {"CASE_A": "a"}]


def test_a_step_is_a_process_of_its_own(run):
    """What a step does to its process (variables, folder, modules) is gone with it."""

    @dsl.component
    def meddle(before: int) -> dict[str, str]:
        import json
        import os
        import socket
        import sys

        found = {
            "process": f"{socket.gethostname()} {os.getpid()}",
            "variable": os.environ.get("CASE_MEDDLED", "unset"),
            "module": str(hasattr(json, "meddled")),
            "folder": os.getcwd(),
            "modules": str("case_meddled" in sys.modules),
        }
        os.environ["CASE_MEDDLED"] = "set"
        json.meddled = True
        sys.modules["case_meddled"] = json
        os.chdir("/")
        return found

    @dsl.pipeline
    def meddling():
        first = meddle(before=0)
        meddle(before=1).after(first)

    outcome = run(meddling)
    one, other = outcome.of("meddle")["Output"], outcome.of("meddle-2")["Output"]
    assert one.pop("process") != other.pop("process")
    for found in (one, other):
        assert found.pop("folder") != "/"
        assert found == {"variable": "unset", "module": "False", "modules": "False"}


@pytest.mark.laptop
def test_nothing_that_a_step_started_outlives_it(run):
    """Processes that a step leaves running end with it."""

    @dsl.component
    def leave() -> int:
        import subprocess

        return subprocess.Popen(["sleep", "600"]).pid

    @dsl.pipeline
    def leaving() -> int:
        return leave().output

    pid = run(leaving).outputs["Output"]
    deadline = time.monotonic() + 10
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running(pid)


def running(pid):
    """Whether a process is there and not just waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_step_has_nothing_to_read(run):
    """A step that asks its user something gets an end of file, and does not hang."""

    @dsl.component
    def ask() -> str:
        return input("well? ")

    @dsl.pipeline
    def asking() -> str:
        return ask().output

    outcome = run(asking)
    assert outcome.state == "failed"
    assert "EOFError" in outcome.problem


def secret(task, optional=False):
    """What `kfp.kubernetes.use_secret_as_env` writes."""
    task.platform_config["kubernetes"] = {
        "secretAsEnv": [
            {
                "secretName": "bank",
                "keyToEnv": [{"secretKey": "password", "envVar": "CASE_PASSWORD"}],
                "optional": optional,
                "secretNameParameter": {"runtimeValue": {"constant": "bank"}},
            }
        ]
    }
    return task


@dsl.pipeline
def asks_for_a_secret() -> str:
    return secret(fingerprint(name="CASE_PASSWORD")).output


@dsl.pipeline
def asks_for_an_optional_secret() -> str:
    return secret(fingerprint(name="CASE_PASSWORD"), optional=True).output


VALUE = 'it\'s a "secret" 4711'
DIGEST = hashlib.sha256(VALUE.encode()).hexdigest()


def test_a_secret(run, keep_secret):
    """Secret NAME, key KEY: on a laptop it is the file `secrets/NAME/KEY` in the home. The value
    is in the step's environment and nowhere in the run's records."""
    keep_secret("bank", {"password": VALUE})
    outcome = run(asks_for_a_secret)
    assert outcome.outputs == {"Output": DIGEST}
    assert "4711" not in outcome.text()


@pytest.mark.laptop
def test_a_secret_from_the_callers_environment(run, monkeypatch):
    """Without a file, a variable of the wanted name in the caller's environment stands in."""
    monkeypatch.setenv("CASE_PASSWORD", VALUE)
    outcome = run(asks_for_a_secret)
    assert outcome.outputs == {"Output": DIGEST}
    assert "4711" not in outcome.text()


def test_a_secret_wins_over_the_environment(run, keep_secret, monkeypatch):
    """The site's own secret is the stronger one."""
    keep_secret("bank", {"password": VALUE})
    monkeypatch.setenv("CASE_PASSWORD", "other")
    assert run(asks_for_a_secret).outputs == {"Output": DIGEST}


def test_a_secret_whose_name_is_a_parameter(run, keep_secret):
    """The secret's name may be a parameter of the pipeline."""

    @dsl.pipeline
    def asks(which: str) -> str:
        task = fingerprint(name="CASE_PASSWORD")
        task.register_pipeline_channels([which])
        task.platform_config["kubernetes"] = {
            "secretAsEnv": [
                {
                    "keyToEnv": [{"secretKey": "password", "envVar": "CASE_PASSWORD"}],
                    "secretNameParameter": {"componentInputParameter": "which"},
                }
            ]
        }
        return task.output

    keep_secret("other-bank", {"password": VALUE})
    assert run(asks, which="other-bank").outputs == {"Output": DIGEST}


def test_a_secret_that_is_nowhere(run, there, monkeypatch):
    """It is never silently unset: the error names what was looked for, on a laptop the file
    and the variable. Only an optional secret may be missing."""
    monkeypatch.delenv("CASE_PASSWORD", raising=False)
    problem = refused(run, asks_for_a_secret)
    if there is None:
        assert "CASE_PASSWORD" in problem
        assert "secrets/bank/password" in problem
    else:
        assert "Secret 'bank'" in problem
    assert run(asks_for_an_optional_secret).outputs == {"Output": "unset"}


def refused(run, pipeline):
    """The error text, whether the run is refused at once or its step fails."""
    try:
        outcome = run(pipeline)
    except HeadraceError as error:
        return str(error)
    assert outcome.state == "failed"
    return outcome.problem


def test_packages_that_are_there(run):
    """A component whose packages are installed runs as it is; nothing is installed."""

    @dsl.component(packages_to_install=["PyYAML>=5", "click"])
    def parse(text: str) -> dict:
        import yaml

        return yaml.safe_load(text)

    @dsl.pipeline
    def parsing() -> dict:
        return parse(text="a: [1, 2]").output

    assert run(parsing).outputs == {"Output": {"a": [1, 2]}}


@pytest.mark.laptop
def test_a_virtual_environment_is_not_made(run):
    """`use_venv` concerns the container; here the component runs in the project's own
    environment."""

    @dsl.component(use_venv=True)
    def where() -> str:
        import sys

        return sys.prefix

    @dsl.pipeline
    def asks() -> str:
        return where().output

    assert run(asks).outputs == {"Output": sys.prefix}


@pytest.mark.parametrize("package", ["no-such-package-at-all==1.0", "PyYAML==0.0.1"])
def test_packages_that_are_not_there(run, package):
    """A missing package, or one of another version, is an error that names it; nothing is
    downloaded at run time."""

    @dsl.component(packages_to_install=[package])
    def need() -> str:
        return "ran"

    @dsl.pipeline
    def needing() -> str:
        return need().output

    assert package.split("==")[0] in refused(run, needing)


CONFIG = dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi"))


@dsl.component
def put(folder: str, text: str) -> str:
    import os

    os.makedirs(folder, exist_ok=True)
    found = sorted(os.listdir(folder))
    with open(os.path.join(folder, "note.txt"), "w") as file:
        file.write(text)
    return f"found {found}"


@dsl.component
def get(path: str) -> str:
    with open(path) as file:
        return file.read()


@dsl.component
def last(status: PipelineTaskFinalStatus, path: str) -> str:
    with open(path) as file:
        return file.read()


NOTE = dsl.WORKSPACE_PATH_PLACEHOLDER + "/data/note.txt"


def test_the_workspace_is_shared_by_all_steps_of_a_run(run):
    """One folder for the run: what a step leaves there the later ones find, in loops, nested
    pipelines and in the exit task, until the run is over."""

    @dsl.pipeline(pipeline_config=CONFIG)
    def inner() -> str:
        return get(path=NOTE).output

    @dsl.pipeline(pipeline_config=CONFIG)
    def working(text: str):
        with dsl.ExitHandler(last(path=NOTE)):
            made = put(folder=dsl.WORKSPACE_PATH_PLACEHOLDER + "/data", text=text)
            inner().after(made)
            with dsl.ParallelFor([1, 2]):
                get(path=NOTE).after(made)

    outcome = run(working, text="it's here")
    assert outcome.state == "succeeded"
    steps = ["exit-handler-1/inner/get", *[f"exit-handler-1/for-loop-3/{i}/get" for i in range(2)]]
    assert [outcome.of(step)["Output"] for step in [*steps, "last"]] == ["it's here"] * 4


def test_each_run_has_its_own_workspace(cached_run):
    """A second run of the same pipeline starts with an empty workspace and fills it itself:
    no step is reused whose work lay in a folder that is gone."""

    @dsl.pipeline(pipeline_config=CONFIG)
    def working() -> dict[str, str]:
        made = put(folder=dsl.WORKSPACE_PATH_PLACEHOLDER + "/data", text="x")
        return pair(found=made.output, text=get(path=NOTE).after(made).output).output

    for _ in range(2):
        assert cached_run(working).outputs == {"Output": {"found": "found []", "text": "x"}}


@dsl.component
def pair(found: str, text: str) -> dict[str, str]:
    return {"found": found, "text": text}
