"""What a run says of steps that fail inside Spark and inside a Ray worker."""

import pytest

pytestmark = pytest.mark.engine

STEPS = """
    import headrace as hr

    @hr.spark(executors=1, memory="512m")
    def choose(spark) -> int:
        rows = spark.range(3).withColumnRenamed("id", "number")
        return rows.select("numbr").count()

    @hr.ray(workers=2)
    def train():
        import ray.train
        import torch
        import torch.distributed as dist

        rank = ray.train.get_context().get_world_rank()
        halve(rank)
        dist.all_reduce(torch.zeros(1))

    def halve(rank):
        if rank == 1:
            raise ValueError("cannot halve")
"""
PIPELINE = """
    from kfp import dsl

    import steps

    @dsl.pipeline(name="failing")
    def main():
        steps.choose()
        steps.train()
"""


def test_both_say_it_in_the_users_terms(project):
    """Steps that do not need one another both run; the run tells of each in its journal."""
    project.write(pipeline=PIPELINE, steps=STEPS)
    result = project.run()
    assert result.state == "failed"
    errors = {one["step"]: one["error"] for one in result.events if one["type"] == "step_finished"}
    logs = project.home.run(result.run_id) / "logs"
    spark, ray = dict(errors["choose"]), dict(errors["train"])

    what = spark.pop("what")
    assert what.startswith("AnalysisException: [UNRESOLVED_COLUMN.WITH_SUGGESTION]")
    assert "`numbr`" in what and "[`number`]" in what
    assert len(what.splitlines()) == 1
    assert user_lines(spark.pop("traceback")) == [("choose", 'return rows.select("numbr").count()')]
    rest = {"where": [str(logs / "choose.log")], "hint": "", "exit_code": 1}
    assert spark == {**rest, "kind": "AnalysisException"}

    assert user_lines(ray.pop("traceback")) == [
        ("train", "halve(rank)"), ("halve", 'raise ValueError("cannot halve")'),
    ]  # fmt: skip
    assert ray == {
        "kind": "ValueError", "what": "ValueError: cannot halve", "hint": "", "exit_code": 1,
        "where": [str(logs / "train.log")],
    }  # fmt: skip
    assert "Traceback (most recent call last)" in (logs / "train.log").read_text()
    project.until_gone()


def user_lines(traceback):
    """Function and source line of each frame; all are of the user's file."""
    lines = [line.strip() for line in traceback.splitlines() if set(line.strip()) - set("^~")]
    assert all("/steps.py" in line for line in lines[::2])
    names = [line.rpartition(" in ")[2] for line in lines[::2]]
    return list(zip(names, lines[1::2], strict=True))
