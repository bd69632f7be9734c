"""A run that is cancelled, at whatever moment, is recorded as such, leaves no process and
is continued by the next run."""

import signal
import sqlite3
import time

import pytest

PIPELINE = """
    from kfp import dsl

    import steps

    @dsl.pipeline(name="three")
    def main(folder: str) -> str:
        one = steps.one(folder=folder)
        two = steps.two(folder=folder, before=one.outputs["data"])
        return steps.three(folder=folder, before=two.outputs["data"]).output
"""
STEPS = """
    import subprocess, time
    from pathlib import Path

    import headrace as hr
    from kfp.dsl import Dataset, Input, Output

    def held(folder, name):
        Path(folder, name).touch()
        child = subprocess.Popen(["sleep", "300"])
        while Path(folder, f"hold-{name}").exists():
            time.sleep(0.02)

    @hr.step
    def one(folder: str, data: Output[Dataset]):
        with open(data.path, "w") as file:
            file.write("half")
            file.flush()
            held(folder, "one")
            file.write(" one")

    @hr.step
    def two(folder: str, before: Input[Dataset], data: Output[Dataset]):
        with open(data.path, "w") as file:
            file.write(Path(before.path).read_text())
            file.flush()
            held(folder, "two")
            file.write(" two")

    @hr.step
    def three(folder: str, before: Input[Dataset]) -> str:
        held(folder, "three")
        return Path(before.path).read_text() + " three"
"""
CANCELLED = {
    "kind": "RunCancelled",
    "what": "The run was cancelled.",
    "where": [],
    "hint": "run again to continue it",
    "exit_code": 130,
    "traceback": "",
}
BEFORE = ("one", "two", "three")


def the_last_word(project):
    (record,) = project.runs()
    (end,) = project.events("run_finished")
    return record.state, record.killed, end["state"], end["error"], end["outputs"]


def finishes_from_what_is_complete(project, folder, complete):
    """Run it again: what was complete is reused, the rest runs."""
    for file in folder.glob("hold-*"):
        file.unlink()
    result = project.run(folder=str(folder))
    assert result.outputs == {"Output": "half one two three"}
    assert {one.step: one.state for one in result.steps} == {
        name: "reused" if name in complete else "succeeded" for name in BEFORE
    }


@pytest.mark.parametrize(
    ("kind", "step", "complete"),
    [
        ("run_started", None, ()),
        ("step_started", "one", ()),
        ("step_finished", "one", ("one",)),
        ("step_started", "two", ("one",)),
        ("step_finished", "two", ("one", "two")),
        ("step_started", "three", ("one", "two")),
    ],
)
def test_ctrl_c_at_an_event(project, tmp_path, kind, step, complete):
    """At any event of the journal, the step that begins next is held until the signal came."""
    project.write(pipeline=PIPELINE, steps=STEPS)
    held = next(name for name in BEFORE if name not in complete)
    (tmp_path / f"hold-{held}").touch()
    at = {"type": kind} if step is None else {"type": kind, "step": step}
    client = project.start(arguments={"folder": str(tmp_path)}, signal_at=at)
    said = project.said(client)
    project.until_gone()
    (record,) = project.runs()
    assert said == {"run": record.run_id, "state": "cancelled", "outputs": {}, "error": CANCELLED}
    assert the_last_word(project) == ("cancelled", False, "cancelled", CANCELLED, {})
    finishes_from_what_is_complete(project, tmp_path, complete)


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.25, 0.45])
def test_ctrl_c_at_any_moment(project, tmp_path, until, seconds):
    """By the clock, from the moment on when the run has a folder: whatever it is about, it ends,
    nothing stays, and the next run comes right."""
    project.write(pipeline=PIPELINE, steps=STEPS)
    client = project.start(arguments={"folder": str(tmp_path)})
    until(lambda: project.home.runs.is_dir() and list(project.home.runs.iterdir()))
    time.sleep(seconds)
    client.send_signal(signal.SIGINT)
    said = project.said(client, timeout=20)
    project.until_gone()
    assert said.get("state", "cancelled") in ("cancelled", "succeeded")
    for record in project.runs():
        assert record.state == said.get("state", "cancelled")
    result = project.run(folder=str(tmp_path))
    assert result.outputs == {"Output": "half one two three"}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_while_a_step_works(project, tmp_path, until, name):
    """From outside, in the middle of the second step."""
    project.write(pipeline=PIPELINE, steps=STEPS)
    (tmp_path / "hold-two").touch()
    client = project.start(arguments={"folder": str(tmp_path)})
    until((tmp_path / "two").exists)
    client.send_signal(getattr(signal, name))
    said = project.said(client, timeout=20)
    project.until_gone()
    assert (said["state"], said["error"]) == ("cancelled", CANCELLED)
    ends = [(one["step"], one["state"]) for one in project.events("step_finished")]
    assert ends == [("one", "succeeded"), ("two", "cancelled")]
    finishes_from_what_is_complete(project, tmp_path, ("one",))


def test_a_step_gets_the_time_to_clean_up(project, tmp_path, until):
    """It is asked first: `finally` blocks run."""
    project.write(
        pipeline="""
            from kfp import dsl
            import steps

            @dsl.pipeline(name="tidy")
            def main(folder: str):
                steps.tidy(folder=folder)
        """,
        steps="""
            import time
            from pathlib import Path
            import headrace as hr

            @hr.step
            def tidy(folder: str):
                try:
                    Path(folder, "begun").touch()
                    time.sleep(300)
                finally:
                    Path(folder, "tidied").touch()
        """,
    )
    client = project.start(arguments={"folder": str(tmp_path)})
    until((tmp_path / "begun").exists)
    client.send_signal(signal.SIGINT)
    assert project.said(client)["state"] == "cancelled"
    assert (tmp_path / "tidied").exists()


def test_a_step_that_will_not_end_is_made_to(project, tmp_path, until):
    """One that ignores the wish is killed after a few seconds."""
    project.write(
        pipeline="""
            from kfp import dsl
            import steps

            @dsl.pipeline(name="stubborn")
            def main(folder: str):
                steps.stubborn(folder=folder)
        """,
        steps="""
            import signal, time
            from pathlib import Path
            import headrace as hr

            @hr.step
            def stubborn(folder: str):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                Path(folder, "begun").touch()
                time.sleep(300)
        """,
    )
    client = project.start(arguments={"folder": str(tmp_path)})
    until((tmp_path / "begun").exists)
    client.send_signal(signal.SIGINT)
    assert project.said(client)["state"] == "cancelled"
    project.until_gone()


def test_ctrl_c_twice(project, tmp_path, until):
    """Whoever is impatient gets the same end, sooner."""
    project.write(pipeline=PIPELINE, steps=STEPS)
    (tmp_path / "hold-one").touch()
    client = project.start(arguments={"folder": str(tmp_path)})
    until((tmp_path / "one").exists)
    client.send_signal(signal.SIGINT)
    time.sleep(0.05)
    client.send_signal(signal.SIGINT)
    assert project.said(client)["state"] == "cancelled"
    project.until_gone()
    assert the_last_word(project) == ("cancelled", False, "cancelled", CANCELLED, {})


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_other_signals_at_the_first_event(project, tmp_path, name):
    project.write(pipeline=PIPELINE, steps=STEPS)
    client = project.start(
        arguments={"folder": str(tmp_path)}, signal_at={"type": "run_started"}, signal=name
    )
    assert project.said(client)["state"] == "cancelled"
    assert the_last_word(project) == ("cancelled", False, "cancelled", CANCELLED, {})
    assert project.events("step_started") == []
    project.until_gone()


@pytest.mark.engine
def test_ctrl_c_when_only_the_record_is_missing(project, tmp_path, until):
    """The run is over: whoever is impatient gets its result, and MLflow its record, later."""
    project.write(pipeline=PIPELINE, steps=STEPS)
    client = project.start(arguments={"folder": str(tmp_path)}, record=True)
    until(lambda: project.events("run_finished"))
    client.send_signal(signal.SIGINT)
    assert project.said(client)["state"] == "succeeded"
    project.until_gone(seconds=100)
    with sqlite3.connect(project.home.database) as database:
        rows = database.execute("select status from runs").fetchall()
    assert rows == [("FINISHED",)] * 4


@pytest.mark.engine
def test_a_step_that_was_not_begun_stays_so(project, tmp_path, until):
    """A step that waits for its library's import when the run is cancelled never runs."""
    project.write(
        pipeline="""
            from kfp import dsl
            import steps

            @dsl.pipeline(name="early")
            def main(folder: str):
                steps.early(folder=folder)
        """,
        steps="""
            from pathlib import Path
            import headrace as hr

            @hr.step
            def early(folder: str):
                import mlflow
                Path(folder, "begun").touch()
        """,
    )
    client = project.start(
        arguments={"folder": str(tmp_path)}, signal_at={"type": "step_started"}, record=True
    )
    assert project.said(client, timeout=120)["state"] == "cancelled"
    project.until_gone()
    assert not (tmp_path / "begun").exists()
