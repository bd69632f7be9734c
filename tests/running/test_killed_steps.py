"""Steps that die, or leave something behind: it is said, and nothing stays."""

import os
import signal
from pathlib import Path

PIPELINE = """
    from kfp import dsl

    import steps

    @dsl.pipeline(name="one")
    def main(folder: str = ""):
        steps.step(folder=folder)
"""


def error_of(result):
    assert result.state == "failed"
    return result.error


def test_a_step_killed_by_the_kernel_says_so(project):
    project.write(
        pipeline=PIPELINE,
        steps="""
            import os, signal
            import headrace as hr

            @hr.step
            def step(folder: str):
                os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    result = project.run()
    assert error_of(result) == {
        "kind": "StepFailed",
        "what": "The step was killed by SIGKILL.",
        "where": [str(project.home.run(result.run_id) / "logs" / "step.log")],
        "hint": "if nobody killed it, memory may have run out: smaller inputs or more memory",
        "exit_code": 1,
        "traceback": "",
    }


def test_a_step_that_ends_the_interpreter_says_so(project):
    project.write(
        pipeline=PIPELINE,
        steps="""
            import os
            import headrace as hr

            @hr.step
            def step(folder: str):
                os._exit(7)
        """,
    )
    result = project.run()
    assert error_of(result) == {
        "kind": "StepFailed",
        "what": "The step ended with exit code 7.",
        "where": [str(project.home.run(result.run_id) / "logs" / "step.log")],
        "hint": "its log has what it printed last",
        "exit_code": 1,
        "traceback": "",
    }


GRANDCHILD = """
    import subprocess, time
    from pathlib import Path
    import headrace as hr

    @hr.step
    def step(folder: str):
        left = subprocess.Popen(["sleep", "300"])
        Path(folder, "pid").write_text(str(left.pid))
        {then}
"""


def alive(pid):
    """Whether a process is there and not just waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_a_step_left_running_is_ended_with_it(project, tmp_path, until):
    project.write(pipeline=PIPELINE, steps=GRANDCHILD.format(then="return None"))
    result = project.run(folder=str(tmp_path))
    assert (result.state, result.error) == ("succeeded", None)
    until(lambda: not alive(int((tmp_path / "pid").read_text())), seconds=10)


def test_what_a_killed_step_left_running_is_ended_too(project, tmp_path, until):
    project.write(
        pipeline=PIPELINE,
        steps=GRANDCHILD.format(then="import os; os.kill(os.getpid(), 9)"),
    )
    assert error_of(project.run(folder=str(tmp_path)))["what"] == "The step was killed by SIGKILL."
    until(lambda: not alive(int((tmp_path / "pid").read_text())), seconds=10)


def test_nothing_stays_when_the_client_is_killed(project, tmp_path, until):
    """SIGKILL leaves no time for anything: the fork server notices and takes the steps along."""
    project.write(pipeline=PIPELINE, steps=GRANDCHILD.format(then="time.sleep(300)"))
    client = project.start(arguments={"folder": str(tmp_path)})
    until((tmp_path / "pid").exists)
    assert len(project.processes()) == 4  # the client, its fork server, the step, its child
    client.kill()
    client.wait()
    project.until_gone()
    (record,) = project.runs()
    assert (record.state, record.killed) == ("cancelled", True)


def fork_server(project):
    return next(
        pid for pid, words in project.processes().items()
        if "forkserver" in words and pid != os.getpid()
        and os.getpgid(pid) != pid  # steps, which are forks of it, lead groups of their own
    )  # fmt: skip


LOST = {
    "kind": "StepFailed",
    "what": "The process that starts steps is gone.",
    "hint": "if nobody killed it, memory may have run out; run again to continue",
    "exit_code": 1,
    "traceback": "",
}


def test_the_fork_server_killed(project, tmp_path, until):
    """The step dies with it, and so does what the step had started."""
    project.write(pipeline=PIPELINE, steps=GRANDCHILD.format(then="time.sleep(300)"))
    client = project.start(arguments={"folder": str(tmp_path)})
    until((tmp_path / "pid").exists)
    os.kill(fork_server(project), signal.SIGKILL)
    said = project.said(client)
    log = str(project.home.run(said["run"]) / "forkserver.log")
    assert (said["state"], said["error"]) == ("failed", {**LOST, "where": [log]})
    project.until_gone()


def test_steps_after_the_fork_server_was_killed(project, tmp_path, until):
    """An exit handler's task comes after the loss: it gets a new server, and does its work."""
    project.write(
        pipeline="""
            from kfp import dsl

            import steps

            @dsl.pipeline(name="handled")
            def main(folder: str):
                with dsl.ExitHandler(steps.clean(folder=folder)):
                    steps.step(folder=folder)
        """,
        steps=GRANDCHILD.format(then="time.sleep(300)")
        + """
    @hr.step
    def clean(folder: str):
        Path(folder, "cleaned").touch()
""",
    )
    client = project.start(arguments={"folder": str(tmp_path)})
    until((tmp_path / "pid").exists)
    os.kill(fork_server(project), signal.SIGKILL)
    said = project.said(client)
    log = str(project.home.run(said["run"]) / "forkserver.log")
    assert (said["state"], said["error"]) == ("failed", {**LOST, "where": [log]})
    assert (tmp_path / "cleaned").exists()
    project.until_gone()
