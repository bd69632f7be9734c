"""A disk that fills up, and a home that cannot be written: said clearly, and nothing broken is
read later."""

import os
import subprocess

import pytest

from headrace.sites.home import Home
from headrace.sites.journal import read_events

PIPELINE = """
    from kfp import dsl

    import steps

    @dsl.pipeline(name="filling")
    def main(megabytes: int) -> int:
        one = steps.small()
        two = steps.large(before=one.outputs["data"], megabytes=megabytes)
        return steps.size(data=two.outputs["data"]).output
"""
STEPS = """
    import os
    import headrace as hr
    from kfp.dsl import Dataset, Input, Output

    @hr.step
    def small(data: Output[Dataset]):
        with open(data.path, "wb") as out:
            out.write(b"x" * 1000)

    @hr.step
    def large(before: Input[Dataset], megabytes: int, data: Output[Dataset]):
        with open(data.path, "wb") as out:
            for _ in range(megabytes):
                out.write(b"x" * 2**20)
                out.flush()

    @hr.step
    def size(data: Input[Dataset]) -> int:
        return os.path.getsize(data.path)
"""


@pytest.fixture
def tiny(tmp_path):
    """A file system of 4 MiB."""
    if os.getuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


HINT = "the disk is full: free some space and run again; what is complete is kept"


def test_a_step_that_fills_the_disk(project, tiny):
    """The step fails and says why. With the space freed, the next run does the rest."""
    project.write(pipeline=PIPELINE, steps=STEPS)
    project.home = Home(root=tiny / "home")
    result = project.run(megabytes=5)
    assert result.state == "failed"
    error = dict(result.error)
    assert error.pop("traceback").splitlines()[-1].strip() in (
        'out.write(b"x" * 2**20)', "out.flush()",
    )  # fmt: skip
    assert error == {
        "kind": "OSError", "what": "OSError: [Errno 28] No space left on device",
        "where": [str(project.home.run(result.run_id) / "logs" / "large.log")], "hint": HINT,
        "exit_code": 1,
    }  # fmt: skip
    assert [(one.step, one.state) for one in result.steps] == [
        ("small", "succeeded"), ("large", "failed"), ("size", "skipped"),
    ]  # fmt: skip
    assert not (project.home.artifacts / result.run_id / "large").exists()  # it made room
    again = project.run(megabytes=2)
    assert (again.state, again.outputs) == ("succeeded", {"Output": 2 * 2**20})
    assert [(one.step, one.state) for one in again.steps] == [
        ("small", "reused"), ("large", "succeeded"), ("size", "succeeded"),
    ]  # fmt: skip


def test_no_space_for_the_journal(project, tiny, until):
    """The run ends rather than go on unrecorded; what was complete before is reused later."""
    project.write(
        pipeline=PIPELINE,
        steps=STEPS.replace(
            "        return os.path.getsize(data.path)\n",
            f"        fill({str(tiny)!r})\n        return os.path.getsize(data.path)\n",
        )
        + """
    def fill(place):
        from pathlib import Path

        if Path(place, "filled-once").exists():
            return
        Path(place, "filled-once").touch()
        with open(Path(place, "ballast"), "wb", buffering=0) as out:
            block = 2**16
            while block:
                try:
                    out.write(bytes(block))
                except OSError:
                    block //= 2
""",
    )
    project.home = Home(root=tiny / "home")
    client = project.start(arguments={"megabytes": 1})
    said = project.said(client)
    (folder,) = project.home.runs.iterdir()
    assert said == {
        "kind": "EnvironmentProblem",
        "what": "The run's journal cannot be written: No space left on device.",
        "where": [str(folder)],
        "hint": "free some disk space and run again; what is complete is kept",
        "exit_code": 4,
    }
    project.until_gone()
    kinds = [one["type"] for one in read_events(folder)]
    assert kinds[0] == "run_started" and "run_finished" not in kinds
    (tiny / "ballast").unlink()
    again = project.run(megabytes=1)
    assert (again.state, again.outputs) == ("succeeded", {"Output": 2**20})
    assert [(one.step, one.state) for one in again.steps] == [
        ("small", "reused"), ("large", "reused"), ("size", "succeeded"),
    ]  # fmt: skip


def test_no_space_to_begin_with(project, tiny):
    project.write(pipeline=PIPELINE, steps=STEPS)
    project.home = Home(root=tiny / "home")
    with (tiny / "ballast").open("wb", buffering=0) as out:
        written = 1
        while written:
            try:
                written = out.write(bytes(2**16))
            except OSError:
                break
    said = project.said(project.start(arguments={"megabytes": 1}))
    assert said == {
        "kind": "EnvironmentProblem",
        "what": "The home cannot be written: No space left on device.",
        "where": [str(project.home.root)],
        "hint": "free some disk space and run again; what is complete is kept",
        "exit_code": 4,
    }
    project.until_gone()


def test_a_home_that_may_not_be_written(project, tiny):
    """A file system mounted for reading only."""
    project.write(pipeline=PIPELINE, steps=STEPS)
    project.home = Home(root=tiny / "home")
    subprocess.run(["mount", "-o", "remount,ro", str(tiny)], check=True)
    said = project.said(project.start(arguments={"megabytes": 1}))
    assert said == {
        "kind": "EnvironmentProblem",
        "what": "The home cannot be written: Read-only file system.",
        "where": [str(project.home.root)],
        "hint": "choose another folder with --home or HEADRACE_HOME, or make this one writable",
        "exit_code": 4,
    }
    project.until_gone()


def test_a_file_where_the_home_should_be(project):
    project.write(pipeline=PIPELINE, steps=STEPS)
    project.home.root.write_text("")
    said = project.said(project.start(arguments={"megabytes": 1}))
    assert (said.get("kind"), said["what"], said["where"]) == (
        "EnvironmentProblem", "The home cannot be written: File exists.",
        [str(project.home.root)],
    )  # fmt: skip


def test_two_runs_at_once(project):
    """Two processes in one home, with one pipeline: both come right and both are on record."""
    project.write(pipeline=PIPELINE, steps=STEPS)
    clients = [project.start(arguments={"megabytes": 3}) for _ in range(2)]
    said = [project.said(one) for one in clients]
    assert [(one["state"], one["outputs"]) for one in said] == [
        ("succeeded", {"Output": 3 * 2**20})
    ] * 2
    assert {one.run_id for one in project.runs()} == {one["run"] for one in said}
    assert len({one["run"] for one in said}) == 2
    assert {one.state for one in project.run(megabytes=3).steps} == {"reused"}
    project.until_gone()
