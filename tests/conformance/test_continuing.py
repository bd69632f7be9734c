"""A run that failed, was killed or has a neighbour: only what is complete is kept and read."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Output


@dsl.component
def half(folder: str, data: Output[Dataset]) -> str:
    """Dies in the middle of its output at the first attempt."""
    import os

    found = sorted(os.listdir(os.path.dirname(data.path))) if os.path.exists(data.path) else []
    with open(data.path, "w") as file:
        file.write("first half, ")
        file.flush()
        if not os.listdir(folder):
            open(os.path.join(folder, "seen"), "w").close()
            os._exit(9)
        file.write("second half")
    return f"found {found}"


@dsl.component
def read(data: Input[Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


def test_a_half_written_artifact_is_never_read(cached_run, meeting_place):
    """A step that died while it wrote runs again in a clean place, and its consumer sees the
    whole."""

    @dsl.pipeline
    def halves(folder: str) -> str:
        return read(data=half(folder=folder).outputs["data"]).output

    broken = cached_run(halves, folder=meeting_place)
    assert (broken.state, broken.states) == ("failed", {"half": "failed"})
    again = cached_run(halves, folder=meeting_place)
    assert again.of("half") == {"Output": "found []"}
    assert again.outputs == {"Output": "first half, second half"}


PIPELINE = """
    from kfp import dsl
    from kfp.dsl import Dataset, Input, Output


    @dsl.component
    def quick(data: Output[Dataset]):
        with open(data.path, "w") as file:
            file.write("done")


    @dsl.component
    def blocked(source: Input[Dataset], folder: str, data: Output[Dataset]) -> str:
        import os
        import time

        with open(source.path) as file:
            text = file.read()
        with open(data.path, "w") as file:
            file.write("half")
            file.flush()
            with open(os.path.join(folder, "pid"), "w") as mine:
                mine.write(str(os.getpid()))
            os.replace(os.path.join(folder, "pid"), os.path.join(folder, "started"))
            while not os.path.exists(os.path.join(folder, "go")):
                time.sleep(0.02)
            file.write(" whole")
        return text


    @dsl.component
    def read(data: Input[Dataset]) -> str:
        with open(data.path) as file:
            return file.read()


    @dsl.pipeline(name="killed")
    def main(folder: str) -> str:
        held = blocked(source=quick().outputs["data"], folder=folder)
        return read(data=held.outputs["data"]).output
"""


def until(condition, seconds=30.0):
    """Wait for something that happens in another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def alive(pid):
    """Whether a process is there and not just waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_goes_on_where_it_was(project, meeting_place, blow):
    """Killed while its second step writes, the run leaves no process behind; started again it
    reuses what was complete and does the rest."""
    project.write("pipeline.py", PIPELINE)
    killed = project.start(folder=meeting_place)
    until(lambda: os.path.exists(os.path.join(meeting_place, "started")))
    step = int(Path(meeting_place, "started").read_text())
    killed.send_signal(blow)
    killed.wait(timeout=20)
    (journal,) = project.run.home.runs.glob("*/events.jsonl")
    end = json.loads(journal.read_text().splitlines()[-1])
    assert (end["type"] == "run_finished") == (blow != signal.SIGKILL)
    assert end.get("state") == (None if blow == signal.SIGKILL else "cancelled")
    until(lambda: not alive(step), seconds=10)
    Path(meeting_place, "go").touch()
    outcome = project(folder=meeting_place)
    assert outcome.outputs == {"Output": "half whole"}
    assert outcome.states == {"quick": "reused", "blocked": "succeeded", "read": "succeeded"}


def test_a_run_beside_another_in_the_same_folder(cached_run, meeting_place):
    """Two runs at once in one home both come right: neither reads what the other has not
    finished, and each has its own record."""

    @dsl.component
    def slow(text: str, data: Output[Dataset]):
        import time

        with open(data.path, "w") as file:
            for letter in text:
                file.write(letter)
                file.flush()
                time.sleep(0.05)

    @dsl.pipeline
    def both(text: str) -> str:
        return read(data=slow(text=text).outputs["data"]).output

    with ThreadPoolExecutor() as pool:
        running = [pool.submit(cached_run, both, text="it's whole") for _ in range(2)]
        outcomes = [one.result() for one in running]
    assert [one.outputs for one in outcomes] == [{"Output": "it's whole"}] * 2
    assert len({one.result.run_id for one in outcomes}) == 2
