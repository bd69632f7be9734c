"""A step is a component inside a pipeline, and its plain function outside."""

import inspect
from pathlib import Path

import pytest
from google.protobuf import json_format

from headrace.authoring.code import step_code
from headrace.authoring.components import Program, read_program

MODULE = """
    import headrace as hr
    from kfp import dsl
    from kfp.dsl import Dataset, Input, Output

    @hr.step
    def add(a: int, b: int = 2) -> int:
        '''Adds.'''
        return a + b

    @hr.step(retries=2, cpus=1.5, memory="512M", cache=False, image="my/image:1")
    def settled(text: str) -> str:
        return text.upper()

    @hr.spark(executors=3, cores=2, memory="1g", conf={"spark.x": "1"}, retries=1)
    def rows(spark, n: int) -> int:
        return spark.range(n).count()

    @hr.ray(workers=2, cpus_per_worker=2, gpus_per_worker=1, max_failures=5)
    def train(epochs: int): ...

    @dsl.pipeline(name="all")
    def every(start: int = 1) -> int:
        first = add(a=start)
        rows(n=first.output)
        train(epochs=first.output)
        settled(text="x").set_caching_options(True).set_retry(7)
        settled(text="y")
        return add(a=first.output, b=1).output
"""


@pytest.fixture
def module(load):
    return load(MODULE)


def test_outside_a_pipeline_it_is_the_function(module):
    assert module.add(1) == 3
    assert module.add(1, 5) == 6
    assert module.add(b=1, a=1) == 2
    assert module.settled("x") == "X"

    class Session:
        def range(self, n):
            return self

        def count(self):
            return 4

    assert module.rows(Session(), n=4) == 4
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        module.add()


def test_it_looks_like_the_function(module):
    assert (module.add.__name__, module.add.__doc__) == ("add", "Adds.")
    assert module.add.__module__ == module.__name__
    assert inspect.unwrap(module.add).__code__.co_name == "add"
    assert str(inspect.signature(module.add.python_func)) == "(a: int, b: int = 2) -> int"


def spec(module, name="every"):
    return json_format.MessageToDict(getattr(module, name).pipeline_spec)


def test_settings_of_tasks(module):
    """Defaults of the step, unless the pipeline says otherwise of the task."""
    tasks = spec(module)["root"]["dag"]["tasks"]
    settings = {
        name: (task.get("cachingOptions"), task.get("retryPolicy", {}).get("maxRetryCount"))
        for name, task in tasks.items()
    }
    assert settings == {
        "add": ({"enableCache": True}, None),
        "add-2": ({"enableCache": True}, None),
        "rows": ({"enableCache": True}, 1),
        "train": ({"enableCache": True}, None),
        "settled": ({"enableCache": True}, 7),
        "settled-2": ({}, 2),
    }


def test_containers(module):
    """The engine's image, or the step's own, and what its pod may use."""
    executors = spec(module)["deploymentSpec"]["executors"]
    containers = {
        name.removeprefix("exec-"): (one["container"]["image"], one["container"].get("resources"))
        for name, one in executors.items()
    }
    limits = {
        "cpuLimit": 1.5, "memoryLimit": 0.512,
        "resourceCpuLimit": "1.5", "resourceMemoryLimit": "512M",
    }  # fmt: skip
    assert containers == {
        "add": ("headrace/python", None),
        "add-2": ("headrace/python", None),
        "rows": ("headrace/spark", None),
        "train": ("headrace/ray", None),
        "settled": ("my/image:1", limits),
        "settled-2": ("my/image:1", limits),
    }


def test_programs(module):
    """What a step runs: three lines that name the function, its engine and its code."""
    executors = spec(module)["deploymentSpec"]["executors"]
    programs = {
        name.removeprefix("exec-"): read_program(one["container"])
        for name, one in executors.items()
    }

    def program(name, **engine):
        code = step_code(Path(module.__file__), name)
        return Program(target=f"{module.__name__}:{name}", engine=engine, code=code.digest)

    assert programs == {
        "add": program("add", kind="python"),
        "add-2": program("add", kind="python"),
        "rows": program(
            "rows", kind="spark", executors=3, cores=2, memory="1g", conf={"spark.x": "1"}
        ),
        "train": program(
            "train", kind="ray", workers=2, cpus_per_worker=2, gpus_per_worker=1, max_failures=5
        ),
        "settled": program("settled", kind="python"),
        "settled-2": program("settled", kind="python"),
    }


def test_arguments_by_position_are_refused_in_a_pipeline_as_kfp_refuses_them(load):
    with pytest.raises(TypeError, match="Positional parameters are not allowed"):
        load(
            """
            import headrace as hr
            from kfp import dsl

            @hr.step
            def add(a: int, b: int = 2) -> int:
                return a + b

            @dsl.pipeline(name="positions")
            def main():
                add(1)
            """
        )


def test_a_missing_argument_in_a_pipeline(load):
    with pytest.raises(TypeError, match=r"add\(\) missing 1 required argument: a"):
        load(
            """
            import headrace as hr
            from kfp import dsl

            @hr.step
            def add(a: int) -> int:
                return a

            @dsl.pipeline(name="missing")
            def main():
                add()
            """
        )


def test_a_decorator_between(load):
    """Another decorator below ours is part of the step, wherever it is defined."""
    decorators = load(
        """
        import functools

        def doubled(function):
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                return 2 * function(*args, **kwargs)
            return wrapper
        """
    )
    module = load(
        f"""
        from __future__ import annotations

        import headrace as hr
        from {decorators.__name__} import doubled

        @hr.step
        @doubled
        def add(a: int, b: int = 1) -> int:
            return a + b
        """
    )
    assert module.add(1) == 4
    assert list(module.add.component_spec.inputs) == ["a", "b"]
    code = step_code(Path(module.__file__), "add")
    assert code.target == f"{module.__name__}:add"
    assert code.files == (Path(module.__file__), Path(decorators.__file__))
