"""The decorators that make KFP components of ordinary functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import FunctionType
from typing import Any, overload

from headrace.authoring import components
from headrace.authoring.code import StepCode, step_code
from headrace.core.errors import UsageError, did_you_mean
from headrace.engines.ray import RaySpec
from headrace.engines.spark import SparkSpec
from headrace.executing.annotations import resolved_signature
from headrace.executing.entry import FUNCTION_ATTRIBUTE
from headrace.executing.sdk import PythonComponent

Function = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What every task made of a step gets, unless the pipeline says otherwise on the task."""

    retries: int = 0
    """How often a failed attempt is repeated."""
    cpus: float | None = None
    """Cores that the step's pod may use."""
    memory: str | None = None
    """Memory that the step's pod may use, such as `4G`."""
    cache: bool = True
    """Whether an earlier result with the same fingerprint may stand in."""
    image: str | None = None
    """Container image, in place of the site's image for the engine."""

    def apply(self, task: Any) -> Any:
        """Set these on a task and return it."""
        if self.retries:
            task.set_retry(num_retries=self.retries)
        if self.cpus is not None:
            task.set_cpu_limit(str(self.cpus))
        if self.memory is not None:
            task.set_memory_limit(self.memory)
        if not self.cache:
            task.set_caching_options(False)
        return task


class Step(PythonComponent):  # type: ignore[misc]
    """A function that is a KFP component inside a pipeline and itself outside of one."""

    def __init__(self, function: Function, component: Any, defaults: Defaults) -> None:
        super().__init__(component_spec=component, python_func=function)
        setattr(self, FUNCTION_ATTRIBUTE, function)
        self._defaults = defaults
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A task, in a pipeline; outside of one, what the function returns."""
        if components.in_pipeline():
            return self._defaults.apply(super().__call__(*args, **kwargs))
        return self.python_func(*args, **kwargs)


@overload
def step(function: Function, /) -> Step: ...
@overload
def step(
    *,
    retries: int = 0,
    cpus: float | None = None,
    memory: str | None = None,
    cache: bool = True,
    image: str | None = None,
) -> Callable[[Function], Step]: ...
def step(function: Function | None = None, /, **defaults: Any) -> Any:
    """Make a plain Python function a step.

    Parameters, artifacts and defaults are annotated as for `kfp.dsl.component`. The
    function runs by reference: modules of the project that it imports travel with it.

    Args:
        function: The function, when used without brackets.
        **defaults: See `Defaults`.

    Raises:
        UsageError: A parameter without an annotation, or a function that cannot be found
            again by its name.

    Example:
        >>> @hr.step(retries=2)
        ... def count(words: str, top: int = 3) -> int:
        ...     return min(top, len(words.split()))
    """
    known = [one.name for one in fields(Defaults)]
    for name in defaults:
        if name not in known:
            raise UsageError(f"hr.step has no option {name!r}.", hint=did_you_mean(name, known))
    made = _decorator({"kind": "python"}, Defaults(**defaults))
    return made(function) if function else made


def spark(
    function: Function | None = None,
    /,
    *,
    executors: int = 2,
    cores: int = 1,
    memory: str = "2g",
    conf: Mapping[str, str] | None = None,
    retries: int = 0,
    cache: bool = True,
    image: str | None = None,
) -> Any:
    """Make a function a Spark step; its first parameter receives the session.

    Args:
        function: The function, when used without brackets.
        executors: How many executors; on one machine, threads of one process.
        cores: Cores of each executor.
        memory: Heap of each executor, in Spark's notation.
        conf: Spark properties, which win over Headrace's own.
        retries: How often a failed attempt is repeated.
        cache: Whether an earlier result with the same fingerprint may stand in.
        image: Container image, in place of the site's image for Spark.
    """
    spec = SparkSpec(executors=executors, cores=cores, memory=memory, conf=dict(conf or {}))
    defaults = Defaults(retries=retries, cache=cache, image=image)
    made = _decorator({"kind": "spark", **spec.to_dict()}, defaults)
    return made(function) if function else made


def ray(
    function: Function | None = None,
    /,
    *,
    workers: int = 1,
    cpus_per_worker: float = 1,
    gpus_per_worker: float = 0,
    max_failures: int = 2,
    min_workers: int | None = None,
    memory: str = "",
    retries: int = 0,
    cache: bool = True,
    image: str | None = None,
) -> Any:
    """Make a function a distributed training step; its body runs on every worker.

    Inside, `ray.train` is Ray's own: `report`, `get_checkpoint`, `torch.prepare_model`.
    All workers get the same inputs; rank 0's outputs and return value are the step's.

    Args:
        function: The function, when used without brackets.
        workers: How many workers.
        cpus_per_worker: Cores of each.
        gpus_per_worker: GPUs of each; where there are none, the CPU is used and that is said.
        max_failures: How many times killed workers are restarted from the last checkpoint.
        min_workers: On a cluster, how few workers suffice while no more can be had: training
            begins and goes on with them, and grows when others join. All of them unless given.
        memory: On a cluster, each worker's memory in Kubernetes' notation, such as `4Gi`.
        retries: How often the whole step is repeated after it failed.
        cache: Whether an earlier result with the same fingerprint may stand in.
        image: Container image, in place of the site's image for Ray.
    """
    spec = RaySpec(
        workers=workers,
        cpus_per_worker=cpus_per_worker,
        gpus_per_worker=gpus_per_worker,
        max_failures=max_failures,
        min_workers=min_workers,
        memory=memory,
    )
    if workers < 1:
        raise UsageError(f"A Ray step needs at least one worker, not {workers}.")
    if min_workers is not None and not 1 <= min_workers <= workers:
        raise UsageError(f"min_workers must be from 1 to {workers}, not {min_workers}.")
    defaults = Defaults(retries=retries, cache=cache, image=image)
    made = _decorator({"kind": "ray", **spec.to_dict()}, defaults)
    return made(function) if function else made


def _decorator(engine: dict[str, Any], defaults: Defaults) -> Callable[[Function], Step]:
    def decorate(function: Function) -> Step:
        return make_step(function, engine, defaults, step_of(function))

    return decorate


def make_step(
    function: Function, engine: dict[str, Any], defaults: Defaults, code: StepCode
) -> Step:
    """A step from its parts."""
    signature = resolved_signature(function, session=engine["kind"] == "spark")
    component = components.build(
        components.Definition(
            function=function.__name__,
            doc=inspect.getdoc(function),
            signature=signature,
            target=code.target,
            code=code.digest,
            engine=engine,
            image=defaults.image,
        )
    )
    return Step(function, component, defaults)


def step_of(function: Function) -> StepCode:
    """The code behind a function.

    Raises:
        UsageError: It is not a plain function.
    """
    if not isinstance(function, FunctionType):
        raise UsageError(
            f"A step is made of a function, not of {function!r}.",
            hint="put Headrace's decorator directly above `def`, with no other below it",
        )
    # A decorator's wrapper lies elsewhere; what it wraps is where the step is found again.
    written = inspect.unwrap(function)
    return step_code(Path(written.__code__.co_filename), function.__qualname__)
