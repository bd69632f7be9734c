"""Opens a step's engine around the user's function, and closes it."""

from __future__ import annotations

import fcntl
import inspect
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headrace.engines.ray import RaySpec
from headrace.engines.spark import SparkSpec, local_session
from headrace.executing import failures, reports, spark_driver, surroundings
from headrace.executing.context import context


def run(
    function: Callable[..., Any], arguments: Mapping[str, Any], engine: Mapping[str, Any]
) -> Any:
    """Call `function` inside its engine and return what it returns.

    Args:
        function: The user's plain function.
        arguments: Its inputs and outputs, as KFP's executor made them.
        engine: `{"kind": "python" | "spark" | "ray", …settings}`.
    """
    settings = {key: value for key, value in engine.items() if key != "kind"}
    match engine["kind"]:
        case "python":
            return function(**arguments)
        case "spark":
            return _spark(function, arguments, SparkSpec(**settings))
        case "ray":
            return _ray(function, arguments, RaySpec(**settings))
        case other:
            raise ValueError(f"unknown engine {other!r}")


def _spark(function: Callable[..., Any], arguments: Mapping[str, Any], spec: SparkSpec) -> Any:
    session_parameter = next(iter(inspect.signature(function).parameters))
    scratch = Path(tempfile.mkdtemp(prefix="spark-", dir=context().scratch))
    around = surroundings.here()
    try:
        if around is not None:
            return spark_driver.run(
                function, arguments, spec,
                session_parameter=session_parameter, around=around, scratch=scratch,
            )  # fmt: skip
        with local_session(spec, app=context().label, scratch=scratch) as session:
            return function(**{session_parameter: session}, **arguments)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _ray(function: Callable[..., Any], arguments: Mapping[str, Any], spec: RaySpec) -> Any:
    around = surroundings.here()
    if around is not None:
        from headrace.executing import ray_step

        return ray_step.run(function, arguments, spec, around)
    from headrace.engines import ray_local

    checkpoints, held = _own_folder(context().checkpoints)
    if spec.gpus_per_worker and not _has_gpus(spec):
        reports.note("this machine has too few GPUs for this step: its workers use the CPU")
        spec = RaySpec(**{**spec.to_dict(), "gpus_per_worker": 0})

    def loop() -> Any:
        # Rank 0 hands its artifacts' new metadata back along with its return value.
        return function(**arguments), {name: vars(one) for name, one in _artifacts(arguments)}

    group = ray_local.Group(
        spec=spec,
        loop=loop,
        checkpoints=checkpoints,
        describe=failures.describe,
        on_report=reports.metrics,
        on_note=reports.note,
    )
    try:
        value, artifacts = group.run()
    except ray_local.WorkerRaised as raised:
        raise failures.Described(raised.description) from None
    for name, state in artifacts.items():
        vars(arguments[name]).update(state)
    shutil.rmtree(checkpoints, ignore_errors=True)
    os.close(held)
    return value


def _own_folder(wanted: Path) -> tuple[Path, int]:
    """The folder for checkpoints, locked, and the lock's descriptor.

    Two steps with the same fingerprint may train at once, in two runs or in one; the second
    works in a folder of its own.
    """
    wanted.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(wanted, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        reports.note("the same training is under way elsewhere: this one starts from the beginning")
        return _own_folder(Path(tempfile.mkdtemp(prefix="checkpoints-", dir=context().scratch)))
    return wanted, descriptor


def _artifacts(arguments: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, one) for name, one in arguments.items() if hasattr(one, "metadata")]


def _has_gpus(spec: RaySpec) -> bool:
    # Counting through torch would open CUDA here, and a process that has opened it cannot
    # be forked into workers; the driver's device files can be counted without it.
    needed = spec.gpus_per_worker * spec.workers
    return len(list(Path("/dev").glob("nvidia[0-9]*"))) >= needed
