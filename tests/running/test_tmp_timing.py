"""A pipeline with Spark and Ray that is killed and cancelled again and again, until it is done."""

import os
import signal
from pathlib import Path

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PIPELINE = """
    from kfp import dsl

    import steps

    @dsl.pipeline(name="training")
    def main(folder: str) -> list:
        table = steps.prepare(folder=folder)
        return steps.train(table=table.outputs["table"], folder=folder).outputs["Output"]
"""
STEPS = """
    import json, os, tempfile, time
    from pathlib import Path

    import headrace as hr
    from kfp.dsl import Dataset, Input, Output

    def held(folder, name):
        Path(folder, name).touch()
        while Path(folder, f"hold-{name}").exists():
            time.sleep(0.02)

    @hr.spark(executors=2, memory="512m")
    def prepare(spark, folder: str, table: Output[Dataset]):
        def slowly(value):
            held(folder, "spark")
            return value

        spark.udf.register("slowly", slowly, "long")
        spark.range(4).selectExpr("slowly(id) as id").write.parquet(table.path)

    @hr.ray(workers=2, gpus_per_worker=64)
    def train(table: Input[Dataset], folder: str) -> list:
        import pyarrow.parquet
        import ray.train

        rows = sorted(pyarrow.parquet.read_table(table.path)["id"].to_pylist())
        rank = ray.train.get_context().get_world_rank()
        found, begin = ray.train.get_checkpoint(), 0
        if found:
            with found.as_directory() as inside:
                begin = json.loads(Path(inside, "state.json").read_text())["epoch"] + 1
        for epoch in range(begin, 6):
            if rank == 1:
                held(folder, f"epoch-{epoch}")
            with tempfile.TemporaryDirectory() as inside:
                Path(inside, "state.json").write_text(json.dumps({"epoch": epoch}))
                checkpoint = ray.train.Checkpoint.from_directory(inside) if rank == 0 else None
                ray.train.report({"epoch": epoch}, checkpoint)
        return [begin, rows]
"""


def metrics(project):
    return [one["metrics"]["epoch"] for one in project.events("step_metric")]


def started(project):
    return [one["step"] for one in project.events("step_started")]


def test_killed_and_cancelled_again_and_again(project, tmp_path, until):
    """Every time all processes go, and the next run goes on from the last checkpoint."""
    project.write(pipeline=PIPELINE, steps=STEPS)

    def disturbed(hold, number, *epochs):
        """Run until the pipeline holds, send a signal, and see everybody go."""
        (tmp_path / f"hold-{hold}").touch()
        import time; t0=time.time()
        client = project.start(arguments={"folder": str(tmp_path)})
        until((tmp_path / hold).exists, seconds=200)
        until(lambda: metrics(project) == [*epochs])
        import time; t1=time.time(); print("holds after", t1-t0)
        client.send_signal(number)
        said = project.said(client)
        t2=time.time(); print("said after", t2-t1)
        project.until_gone()
        print("gone after", time.time()-t2)
        (tmp_path / f"hold-{hold}").unlink()
        return said.get("state")

    # In the Spark step, in a Python worker of the JVM, with no time for anything:
    assert disturbed("spark", signal.SIGKILL) is None
    assert started(project) == ["prepare"]
    # There again, cancelled:
    os.unlink(tmp_path / "spark")
    assert disturbed("spark", signal.SIGINT) == "cancelled"
    assert started(project) == ["prepare"]
    # In the training, after two epochs were put away:
    assert disturbed("epoch-2", signal.SIGINT, 0, 1) == "cancelled"
    assert started(project) == ["prepare", "train"]
    # After two more, with no time for anything:
    assert disturbed("epoch-4", signal.SIGKILL, 2, 3) is None
    assert started(project) == ["train"]
    # And left alone:
    said = project.said(project.start(arguments={"folder": str(tmp_path)}), timeout=200)
    assert (said["state"], said["outputs"]) == ("succeeded", {"Output": [4, [0, 1, 2, 3]]})
    assert (started(project), metrics(project)) == (["train"], [4, 5])
    assert [one["text"] for one in project.events("step_note")] == [
        "this machine has too few GPUs for this step: its workers use the CPU"
    ]
    assert list(Path(project.home.root, "checkpoints").iterdir()) == []
    states = [(one.state, one.killed) for one in project.runs()]
    assert states == [
        ("cancelled", True), ("cancelled", False), ("cancelled", False), ("cancelled", True),
        ("succeeded", False),
    ]  # fmt: skip
    assert 0
