"""Edit and run again: which steps are reused, and which edits, losses and options run them anew."""

# ruff: noqa: SIM117 (types and groups are written as KFP's users write them)

import shutil

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Output

STEPS = '''
    """Steps of a small project."""

    import headrace as hr
    from kfp.dsl import Dataset, Input, Output

    import arithmetic

    FACTOR = 2


    @hr.step
    def first(value: int, data: Output[Dataset]) -> int:
        with open(data.path, "w") as file:
            file.write(str(value) * 100)
        data.metadata["value"] = value
        return scaled(value)


    @hr.step
    def second(data: Input[Dataset], value: int) -> int:
        with open(data.path) as file:
            return len(file.read()) + value


    @hr.step
    def third(value: int) -> int:
        return arithmetic.successor(value)


    def scaled(value: int) -> int:
        return FACTOR * value


    def unrelated(value: int) -> int:
        return value - 1
'''
ARITHMETIC = '''
    """Helpers of a small project."""

    from constants import ONE


    def successor(value: int) -> int:
        return value + ONE
'''
PIPELINE = """
    from kfp import dsl

    from steps import first, second, third


    @dsl.pipeline(name="small")
    def main(value: int = 1) -> int:
        made = first(value=value)
        summed = second(data=made.outputs["data"], value=made.outputs["Output"])
        return third(value=summed.output).output
"""
ALL = {"first", "second", "third"}


@pytest.fixture(scope="module")
def once(module_project):
    """A project of three steps in a row that was run once, and a copy of how it was then."""
    project = module_project
    project.write("steps.py", STEPS)
    project.write("arithmetic.py", ARITHMETIC)
    project.write("constants.py", "ONE = 1\n")
    project.write("pipeline.py", PIPELINE)
    project.first = project()
    assert project.first.outputs == {"Output": 103}
    assert set(project.first.states.values()) == {"succeeded"}
    shutil.copytree(project.root.parent, project.root.parent.with_suffix(".kept"))
    return project


@pytest.fixture
def small(once):
    """That project, as it was after its first run."""
    shutil.rmtree(once.root.parent)
    shutil.copytree(once.root.parent.with_suffix(".kept"), once.root.parent)
    return once


def ran(outcome):
    """The steps that were really run."""
    assert outcome.state == "succeeded"
    assert outcome.states.keys() == ALL
    return {step for step, state in outcome.states.items() if state == "succeeded"}


def test_nothing_changed_nothing_runs(small):
    """Code, inputs, parameters and settings being the same, every step is reused: the outputs
    are those of the earlier run, whose id is on record."""
    first = small()
    assert (ran(first), first.outputs) == (set(), {"Output": 103})
    origins = {step.reused_from for step in first.result.steps}
    assert len(origins) == 1 and origins != {None} and first.result.run_id not in origins
    assert first.artifacts_of("first")["data"][0]["metadata"] == {"value": 1}
    second = small()
    assert (ran(second), {step.reused_from for step in second.result.steps}) == (set(), origins)


def test_a_changed_parameter(small):
    """Other parameters, another result; what an earlier run made with them is reused later."""
    outcome = small(value=5)
    assert (ran(outcome), outcome.outputs) == (ALL, {"Output": 111})
    assert ran(small(value=1)) == set()
    assert ran(small(value=5)) == set()


def test_an_edited_function(small):
    """An edit in a step's function runs that step, and those whose inputs come out different."""
    small.edit("steps.py", "len(file.read()) + value", "len(file.read()) - value")
    outcome = small()
    assert (ran(outcome), outcome.outputs) == ({"second", "third"}, {"Output": 99})


def test_an_edit_that_changes_no_result(small):
    """When the edited step comes to the same result, what follows has unchanged inputs and is
    reused."""
    small.edit("steps.py", "len(file.read()) + value", "value + len(file.read())")
    outcome = small()
    assert (ran(outcome), outcome.outputs) == ({"second"}, {"Output": 103})


def test_an_edited_function_that_the_step_calls(small):
    """A function of the same file counts for those steps that reach it."""
    small.edit("steps.py", "return FACTOR * value", "return FACTOR * value + 1")
    outcome = small()
    assert (ran(outcome), outcome.outputs) == (ALL, {"Output": 104})


def test_an_edited_constant_that_the_step_uses(small):
    """So does a constant that they use."""
    small.edit("steps.py", "FACTOR = 2", "FACTOR = 3")
    outcome = small()
    assert (ran(outcome), outcome.outputs) == (ALL, {"Output": 104})


def test_an_edited_function_that_no_step_reaches(small):
    """An edit elsewhere in the same file runs nothing."""
    small.edit("steps.py", "return value - 1", "return value - 1000")
    assert ran(small()) == set()


def test_comments_and_layout(small):
    """Comments, docstrings of the module and blank lines are no change."""
    small.edit("steps.py", "FACTOR = 2\n", "# twice\n\nFACTOR = 2\n")
    small.edit("steps.py", '"""Steps of a small project."""', '"""Steps."""')
    assert ran(small()) == set()


def test_an_edited_module_that_the_step_imports(small):
    """A project module counts for the steps that import it, also by way of another module."""
    small.edit("arithmetic.py", "value + ONE", "value + ONE + 10")
    outcome = small()
    # The import stands at the top of the file, where every step of the file has it.
    assert "third" in ran(outcome)
    assert outcome.outputs == {"Output": 113}
    small.edit("constants.py", "ONE = 1", "ONE = 2")
    outcome = small()
    assert "third" in ran(outcome)
    assert outcome.outputs == {"Output": 114}


def test_an_edited_module_that_only_one_step_imports(small):
    """Imported within a function, a module counts for that step alone."""
    text = STEPS.replace("    import arithmetic\n", "").replace(
        "        return arithmetic.successor(value)\n",
        "        import arithmetic\n\n        return arithmetic.successor(value)\n",
    )
    small.write("steps.py", text)
    small()
    small.edit("arithmetic.py", "value + ONE", "value + ONE + 10")
    outcome = small()
    assert (ran(outcome), outcome.outputs) == ({"third"}, {"Output": 113})


def test_a_module_that_nobody_imports(small):
    """A new file beside the others is no change."""
    small.write("other.py", "ONE = 2\n")
    assert ran(small()) == set()


def test_a_new_step_beside_the_old(small):
    """Adding a step to the pipeline runs that step only."""
    small.edit(
        "pipeline.py",
        "return third(value=summed.output).output",
        "return third(value=third(value=summed.output).output).output",
    )
    outcome = small()
    assert outcome.outputs == {"Output": 104}
    assert outcome.states == {
        "first": "reused", "second": "reused", "third": "reused", "third-2": "succeeded",
    }  # fmt: skip


def test_a_setting_of_the_task(small):
    """An environment variable of the task is part of what it depends on."""
    small.edit(
        "pipeline.py",
        "return third(value=summed.output).output",
        'return third(value=summed.output).set_env_variable("MODE", "x").output',
    )
    assert ran(small()) == {"third"}
    assert ran(small()) == set()


@pytest.mark.parametrize("harm", ["remove", "truncate", "change a byte", "remove the folder"])
def test_a_harmed_artifact_is_made_again(small, local_path, harm):
    """Before an artifact is reused it is looked at: missing, short or changed, the step runs
    again, and nobody reads the harmed one."""
    path = local_path(small.first.artifacts_of("first")["data"][0])
    text = path.read_text()
    match harm:
        case "remove":
            path.unlink()
        case "truncate":
            path.write_text(text[:50])
        case "change a byte":
            path.write_text("2" + text[1:])
        case "remove the folder":
            shutil.rmtree(path.parent)
    outcome = small()
    assert ran(outcome) == {"first"}
    assert outcome.outputs == {"Output": 103}
    assert local_path(outcome.artifacts_of("first")["data"][0]).read_text() == text
    assert ran(small()) == set()


def test_without_the_cache(small):
    """`use_cache=False` runs everything; its results can be reused afterwards."""
    assert ran(small.with_options(use_cache=False)()) == ALL
    assert ran(small()) == set()


def test_from_a_step_on(small):
    """`from_step` runs the step and all that comes after it, though nothing has changed."""
    assert ran(small.with_options(from_step="second")()) == {"second", "third"}
    assert ran(small.with_options(from_step="third")()) == {"third"}
    assert ran(small()) == set()


def test_from_a_step_that_is_not_there(small):
    """An unknown step name is the caller's error, with the near miss named."""
    from headrace.core.errors import UsageError

    with pytest.raises(UsageError, match="second"):
        small.with_options(from_step="secnd")()


@dsl.component
def make(data: Output[Dataset], text: str):
    with open(data.path, "w") as file:
        file.write(text)


@dsl.component
def read(data: Input[Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


@dsl.component
def count(folder: str) -> int:
    import os

    number = len(os.listdir(folder)) + 1
    open(os.path.join(folder, str(number)), "w").close()
    return number


def test_ordinary_components_are_reused_too(cached_run):
    """A plain `dsl.component` is reused on the same terms."""

    @dsl.pipeline
    def plain(text: str) -> str:
        return read(data=make(text=text).outputs["data"]).output

    assert set(cached_run(plain, text="it's").states.values()) == {"succeeded"}
    again = cached_run(plain, text="it's")
    assert (set(again.states.values()), again.outputs) == ({"reused"}, {"Output": "it's"})
    assert set(cached_run(plain, text="its").states.values()) == {"succeeded"}


def test_a_task_that_must_not_be_cached(cached_run, meeting_place):
    """`set_caching_options(False)` runs the task every time; others are reused as ever."""

    @dsl.pipeline
    def counts(folder: str):
        count(folder=folder).set_caching_options(False)
        make(text="x")

    first = cached_run(counts, folder=meeting_place)
    second = cached_run(counts, folder=meeting_place)
    assert [one.of("count")["Output"] for one in (first, second)] == [1, 2]
    assert second.states == {"count": "succeeded", "make": "reused"}


def test_what_follows_an_uncached_task_goes_by_its_result(cached_run):
    """A consumer is reused when the uncached task comes to the same result again."""

    @dsl.pipeline
    def follows():
        read(data=make(text="same").set_caching_options(False).outputs["data"])

    cached_run(follows)
    assert cached_run(follows).states == {"make": "succeeded", "read": "reused"}


def test_equal_steps_of_different_pipelines(cached_run):
    """The same code with the same inputs is the same step, in whatever pipeline it stands."""

    @dsl.pipeline
    def one():
        make(text="same")

    @dsl.pipeline
    def other():
        make(text="different")
        make(text="same")

    cached_run(one)
    assert cached_run(other).states == {"make": "succeeded", "make-2": "reused"}


def test_iterations_are_reused_one_by_one(cached_run):
    """When the list of a loop grows, only the new items are worked on."""

    @dsl.pipeline
    def loop(texts: list):
        with dsl.ParallelFor(texts) as text:
            make(text=text)

    cached_run(loop, texts=["a", "b"])
    outcome = cached_run(loop, texts=["b", "c", "a"])
    assert outcome.states == {
        "for-loop-1/0/make": "reused", "for-loop-1/1/make": "succeeded",
        "for-loop-1/2/make": "reused",
    }  # fmt: skip


def test_reused_steps_take_part_in_control_flow(cached_run):
    """Reused outputs decide conditions and loops like fresh ones."""

    @dsl.component
    def names() -> list:
        return ["it's", "b"]

    @dsl.pipeline
    def flow() -> list:
        with dsl.ParallelFor(names().output) as name:
            with dsl.If(name == "it's"):
                made = make(text=name)
                text = read(data=made.outputs["data"])
        return dsl.Collected(text.output)

    first, second = cached_run(flow), cached_run(flow)
    assert first.outputs == second.outputs == {"Output": ["it's"]}
    assert set(second.states.values()) == {"reused"}
    assert len(second.skipped) == 2


def test_a_failed_step_is_not_reused(cached_run, meeting_place):
    """Only success is kept."""

    @dsl.component
    def fail_once(folder: str) -> str:
        import os

        if not os.listdir(folder):
            open(os.path.join(folder, "seen"), "w").close()
            raise RuntimeError("first time")
        return "fine"

    @dsl.pipeline
    def fails(folder: str) -> str:
        make(text="x")
        return fail_once(folder=folder).output

    assert cached_run(fails, folder=meeting_place).state == "failed"
    outcome = cached_run(fails, folder=meeting_place)
    assert outcome.outputs == {"Output": "fine"}
    assert outcome.states == {"make": "reused", "fail-once": "succeeded"}


def test_a_cache_key_of_ones_own(cached_run):
    """`cache_key` stands in for inputs and settings: with the same key the task's earlier
    result is taken whatever it was given, with another it is not."""

    @dsl.pipeline
    def keyed(text: str):
        make(text=text).set_caching_options(True, cache_key="mine")

    @dsl.pipeline
    def keyed_otherwise(text: str):
        make(text=text).set_caching_options(True, cache_key="other")

    cached_run(keyed, text="a")
    assert cached_run(keyed, text="b").states == {"make": "reused"}
    assert cached_run(keyed_otherwise, text="b").states == {"make": "succeeded"}
