"""Headrace's own steps, whose functions run from the project's files, in KFP's control flow."""

STEPS = '''
    """Steps of a project with a package of its own."""

    from typing import NamedTuple, Optional

    import headrace as hr
    from kfp.dsl import Dataset, Input, Metrics, Output

    from tools.texts import loud


    @hr.step
    def make(data: Output[Dataset], scores: Output[Metrics], text: str = "x", size: int = 1) -> str:
        """Write a text some times."""
        with open(data.path, "w") as file:
            file.write(loud(text) * size)
        data.metadata["size"] = size
        scores.log_metric("size", float(size))
        return text


    @hr.step
    def measure(data: Input[Dataset], scores: Optional[Input[Metrics]] = None) -> NamedTuple(
        "Outputs", length=int, size=float
    ):
        from tools.texts import length

        outputs = NamedTuple("Outputs", length=int, size=float)
        return outputs(length(data.path), scores.metadata["size"] if scores else -1.0)


    @hr.step(retries=2)
    def stubborn(folder: str) -> int:
        import os

        attempt = len(os.listdir(folder)) + 1
        open(os.path.join(folder, str(attempt)), "w").close()
        if attempt < 3:
            raise RuntimeError("again")
        return attempt


    @hr.step
    def best(lengths: list) -> int:
        return max(lengths)


    @hr.step
    def broken(text: str) -> str:
        return loud(text, 1, 2)
'''
TEXTS = '''
    """Helpers, imported at the top of a module and within a function."""

    from pathlib import Path


    def loud(text: str) -> str:
        return text.upper()


    def length(path: str) -> int:
        return len(Path(path).read_text())
'''
PIPELINE = """
    from typing import List

    from kfp import dsl

    from steps import best, broken, make, measure, stubborn


    @dsl.pipeline(name="by-reference")
    def main(folder: str, sizes: List[int], fail: bool = False) -> int:
        attempts = stubborn(folder=folder)
        with dsl.ParallelFor(sizes) as size:
            made = make(size=size, text="it's").after(attempts)
            measured = measure(data=made.outputs["data"], scores=made.outputs["scores"])
            with dsl.If(measured.outputs["length"] > 4):
                measure(data=made.outputs["data"])
        with dsl.If(fail == True):
            broken(text="x")
        return best(lengths=dsl.Collected(measured.outputs["length"])).output
"""


def written(project):
    project.write("steps.py", STEPS)
    project.write("tools/__init__.py", "")
    project.write("tools/texts.py", TEXTS)
    project.write("pipeline.py", PIPELINE)
    return project


def test_steps_in_loops_and_conditions(project, meeting_place):
    """Steps by reference take part in loops, conditions, retries and collecting, and import
    the project's modules at the top and within functions."""
    outcome = written(project)(folder=meeting_place, sizes=[1, 3])
    assert outcome.state == "succeeded"
    assert outcome.outputs == {"Output": 12}
    assert outcome.of("stubborn") == {"Output": 3}
    assert outcome.attempts("stubborn") == 3
    assert outcome.of("for-loop-1/1/measure") == {"length": 12, "size": 3.0}
    assert outcome.of("for-loop-1/1/condition-2/measure-2") == {"length": 12, "size": -1.0}
    assert outcome.skipped == {"for-loop-1/0/condition-2/measure-2", "condition-3/broken"}


def test_an_error_names_the_users_file(project, meeting_place):
    """A failed step shows the user's own lines, in the user's own files."""
    outcome = written(project)(folder=meeting_place, sizes=[1], fail=True)
    finished = [e for e in outcome.result.events if e["type"] == "step_finished"]
    error = next(e["error"] for e in finished if e["step"] == "condition-3/broken")
    assert outcome.state == "failed"
    assert "TypeError" in error["what"] + str(error.get("kind"))
    assert "return loud(text, 1, 2)" in error["traceback"]
    assert "steps.py" in error["traceback"]
    assert "executor.py" not in error["traceback"]


def test_a_step_is_the_function_it_was(project):
    """Called outside a pipeline, a step is its function: a test needs no runner."""
    from types import SimpleNamespace

    written(project).load()
    import steps

    data = SimpleNamespace(path=str(project.root / "out.txt"), metadata={})
    scores = SimpleNamespace(log_metric=lambda key, value: data.metadata.update({key: value}))
    assert steps.make(data=data, scores=scores, text="a", size=2) == "a"
    assert data.metadata == {"size": 2.0}
    assert steps.best(lengths=[1, 5, 3]) == 5
