"""Ray Train's controller, with what Headrace decides in its place.

Ray Train tries again after every failure. Here a worker that is lost is one thing, after
which the group restarts from its last checkpoint, and a loop that raises another: that ends
the training at once, with the user's own error, as on one machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import (
    PlacementGroupCleanerCallback,
)
from ray.train.v2._internal.exceptions import CheckpointManagerInitializationError
from ray.train.v2._internal.execution.callback import ReportCallback, WorkerGroupCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.failure_handling import (
    DefaultFailurePolicy,
    FailureDecision,
)
from ray.train.v2._internal.execution.scaling_policy import (
    FixedScalingPolicy,
    create_scaling_policy,
)
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2._internal.util import ObjectRefWrapper
from ray.train.v2.api.config import LoggingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.train.v2.api.exceptions import WorkerGroupError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from headrace.engines.ray_reports import numbers
from headrace.engines.ray_torch import TorchOnWorkers
from headrace.engines.ray_training import (
    EXPERIMENT,
    Events,
    LoopRaised,
    Outcome,
    Plan,
    file_system,
)

_POLL = 0.2
"""Seconds between two looks at the workers. A report holds its worker up until it is seen."""
_PING = 30.0
"""Seconds that a worker may take to show that it lives."""
_KERNEL = "the kernel killed it because the memory of its pod ran out"
_PATIENCE = 600.0
"""Seconds between two lines of Ray Train's about workers that are not there yet."""


@dataclass
class Lead:
    """A controller and what it has been told."""

    controller: Any
    """Ray Train's."""
    told: _Told
    """What became of the workers."""

    def outcome(self) -> Outcome:
        """How the training ended, once the controller is done."""
        if self.told.raised is not None:
            return Outcome(raised=self.told.raised.description)
        if self.told.lost is not None:
            return Outcome(lost=self.told.lost)
        result = self.controller.get_result()
        if result.error is not None:
            return Outcome(broken=str(result.error))
        return Outcome(value=result.return_value)


def lead(plan: Plan) -> Lead:
    """Make the controller of a training. Its checkpoints are taken up, if they are whole."""
    told = _Told(events=Events(plan.events), checkpointed=plan.began_with)
    files = file_system(plan.endpoint, plan.region)
    try:
        controller = _controller(plan, told, files)
    except CheckpointManagerInitializationError as error:
        told.events.tell("note", text=f"the checkpoints that are there cannot be used: {error}")
        files.delete_dir(f"{plan.checkpoints}/{EXPERIMENT}")
        told.checkpointed = None
        controller = _controller(plan, told, files)
    controller._health_check_interval_s = _POLL
    return Lead(controller, told)


def _controller(plan: Plan, told: _Told, files: Any) -> Any:
    spec = plan.spec
    fewest = spec.min_workers or spec.workers
    scaling = ScalingConfig(
        num_workers=spec.workers if fewest == spec.workers else (fewest, spec.workers),
        use_gpu=bool(spec.gpus_per_worker),
        resources_per_worker={
            "CPU": spec.cpus_per_worker,
            **({"GPU": spec.gpus_per_worker} if spec.gpus_per_worker else {}),
        },
    )
    run = RunConfig(
        name=EXPERIMENT,
        storage_path=plan.checkpoints,
        storage_filesystem=files,
        failure_config=FailureConfig(max_failures=spec.max_failures),
        checkpoint_config=CheckpointConfig(num_to_keep=1),
        logging_config=LoggingConfig(log_level="WARNING"),
    )
    trainer = _Trainer(
        plan.loop,
        train_loop_config=plan.given,
        backend_config=TorchOnWorkers(backend="nccl" if spec.gpus_per_worker else "gloo"),
        scaling_config=scaling,
        run_config=run,
    )
    return trainer.controller(told)


class _Trainer(DataParallelTrainer):  # type: ignore[misc]
    """Ray's trainer, for the parts that it makes of its settings."""

    def controller(self, told: _Told) -> Any:
        """The controller that `fit` would put into an actor of its own."""
        elastic = self.scaling_config.elasticity_enabled
        # Each of these two starts an actor. One removes placement groups after a controller that
        # has died, but here the job dies with it, and Ray removes a job's placement groups; the
        # other hands out Ray datasets, of which there are none.
        idle = (PlacementGroupCleanerCallback, DatasetsCallback)
        callbacks = [one for one in self._create_default_callbacks() if not isinstance(one, idle)]
        os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"  # KubeRay drains nothing
        controller = TrainController(
            train_fn_ref=ObjectRefWrapper(self._get_train_func()),
            train_run_context=self.train_run_context,
            scaling_policy=(create_scaling_policy if elastic else _Fixed)(self.scaling_config),
            failure_policy=_Failures(self.run_config.failure_config, told),
            callbacks=[*callbacks, told],
        )
        del os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"]
        if not elastic:
            controller.worker_group_cls = _Group
        return controller


class _Group(WorkerGroup):  # type: ignore[misc]
    """Workers that are waited for, in processes that are there already."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._worker_group_start_timeout_s = _PATIENCE

    @staticmethod
    def _get_worker_runtime_env(custom_runtime_env: Any) -> Any:
        # An environment of their own, an empty one too, would mean processes of their own: Ray
        # could not use those that it has started ahead and that have imported torch.
        return custom_runtime_env or None


class _Fixed(FixedScalingPolicy):  # type: ignore[misc]
    """A fixed number of workers, of which no autoscaler needs to be told."""

    def after_controller_start(self, train_run_context: Any) -> None:
        pass

    def _maybe_send_resource_request(self) -> None:
        pass


@dataclass
class _Told(WorkerGroupCallback, ReportCallback):  # type: ignore[misc]
    """What workers report and what becomes of them."""

    events: Events
    """Where it is written down."""
    checkpointed: int | None = None
    """The report that came with the last checkpoint."""
    index: int = 0
    """The number of the next report."""
    failures: int = 0
    """How many groups were lost."""
    group: Any = None
    """The workers there are."""
    hosts: dict[int, str] = field(default_factory=dict)
    """The pod of each rank."""
    nodes: dict[int, str] = field(default_factory=dict)
    """Ray's node of each rank."""
    kills: dict[str, int] = field(default_factory=dict)
    """How often the kernel was seen to have killed in each node's pod."""
    raised: LoopRaised | None = None
    """What ended the training, if a loop raised."""
    lost: Mapping[str, Any] | None = None
    """What ended the training, if too many workers were lost."""

    def before_worker_group_start(self, worker_group_context: Any) -> None:
        self.index = 0 if self.checkpointed is None else self.checkpointed + 1

    def after_worker_group_start(self, worker_group: Any) -> None:
        self.group = worker_group
        self.hosts = {rank: one.metadata.hostname for rank, one in self._workers()}
        self.nodes = {rank: one.metadata.node_id for rank, one in self._workers()}
        self.events.tell("started", hosts=list(self.hosts.values()))

    def after_report(self, training_report: Any, metrics: list[dict[str, Any]]) -> None:
        self.events.tell("report", index=self.index, metrics=numbers(training_report.metrics))
        if training_report.checkpoint is not None:
            self.checkpointed = self.index
        self.index += 1

    def silent(self) -> dict[int, Exception]:
        """The workers that are dead, by rank, each with what Ray says of it."""
        pings = {one.actor.get_metadata.remote(): rank for rank, one in self._workers()}
        done, _ = ray.wait(list(pings), num_returns=len(pings), timeout=_PING)
        dead = {}
        for ping in done:
            try:
                ray.get(ping)
            except ray.exceptions.RayActorError as error:
                dead[pings[ping]] = error
        return dead

    def ran_out_of_memory(self, rank: int) -> bool:
        """Whether the kernel has killed something in a worker's pod since that was last asked."""
        node = self.nodes.get(rank, "")
        before, now = self.kills.get(node, 0), kills_on(node)
        self.kills[node] = max(before, now)
        return now > before

    def _workers(self) -> list[tuple[int, Any]]:
        return list(enumerate(self.group.get_workers()))


class _Failures(DefaultFailurePolicy):  # type: ignore[misc]
    """Decides whether a failure ends the training."""

    def __init__(self, settings: Any, told: _Told) -> None:
        super().__init__(settings)
        self._told = told

    def make_decision(self, training_failed_error: Any) -> Any:
        if not isinstance(training_failed_error, WorkerGroupError):
            return super().make_decision(training_failed_error)
        failed = training_failed_error.worker_failures
        raised = [one for one in failed.values() if isinstance(one, LoopRaised)]
        lost = {rank: one for rank, one in failed.items() if not isinstance(one, LoopRaised)}
        # Those who exchange data with the dead raise, and may be seen before it.
        lost = lost or self._told.silent()
        if not lost:
            self._told.raised = min(raised, key=lambda one: one.at)
            return FailureDecision.RAISE
        return self._after_loss(*min(lost.items()))

    def _after_loss(self, rank: int, error: Exception) -> Any:
        told, most = self._told, self.failure_config.max_failures
        told.failures += 1
        facts = {
            "rank": rank,
            "host": told.hosts.get(rank, ""),
            "said": _KERNEL if told.ran_out_of_memory(rank) else said(error),
            "failures": told.failures,
        }
        if told.failures > most:
            told.lost = facts
            return FailureDecision.RAISE
        told.events.tell("lost", **facts, checkpoint=told.checkpointed)
        return FailureDecision.RETRY


@ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
def _kills() -> int:
    """How often the kernel has killed in this pod for want of memory: control groups 2, or 1."""
    for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        with suppress(OSError):
            lines = dict(one.split(" ", 1) for one in Path(path).read_text().splitlines())
            return int(lines.get("oom_kill", 0))
    return 0


def kills_on(node: str) -> int:
    """The same for another node's pod; 0 if nobody there can say."""
    try:
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        return int(ray.get(_kills.options(scheduling_strategy=there).remote(), timeout=_PING))
    except (ray.exceptions.RayError, ValueError, TypeError):
        return 0


def said(error: Exception) -> str:
    """What Ray says of a worker's loss, in a sentence."""
    text = str(getattr(error, "health_check_failure", error))
    if "memory" in text and "threshold" in text:
        return "Ray killed it because memory was running out"
    if "node has died" in text or "node was terminated" in text:
        return "its node in Ray is gone"
    detail = re.search(r"Worker exit detail: (.+?)(?:\. |\n|$)", text)
    return detail[1] if detail else f"{type(error).__name__}: {text.strip().splitlines()[0][:200]}"
