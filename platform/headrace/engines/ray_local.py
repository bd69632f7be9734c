"""The door to Ray on one machine: a `ray.train` loop in forked workers, no Ray cluster.

Each worker is a fork of this process, which has imported torch and Ray already, with the
environment that `torchrun` gives its workers. Inside, Ray Train runs in its own local
mode (`ScalingConfig(num_workers=0)`), so the user's loop meets the real `ray.train`.
What it does not do, keeping checkpoints and restarting a group, is done here and in
`ray_reports`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from headrace.core.errors import StepFailed
from headrace.engines import ray_reports
from headrace.engines.ray import RaySpec
from headrace.sites.processes import die_with_parent

_SETTLE = 0.2
"""Seconds to look on after a failure, for the one that caused it."""


class WorkerRaised(Exception):
    """A worker's function raised; `description` is what the caller made of the error there."""

    def __init__(self, rank: int, description: Any) -> None:
        super().__init__(f"worker {rank} raised")
        self.rank = rank
        self.description = description


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group of workers and what it needs from its surroundings."""

    spec: RaySpec
    """How many workers, and what each may use."""
    loop: Callable[[], Any]
    """What every worker runs; rank 0's result is the group's, so it must be picklable."""
    checkpoints: Path
    """Where reported checkpoints are kept, across restarts of the group and of the step."""
    describe: Callable[[BaseException], Any]
    """Turns a worker's exception into something picklable."""
    on_report: Callable[[Mapping[str, float], int], None]
    """Called in rank 0 with each report's metrics and index."""
    on_note: Callable[[str], None]
    """Called with a sentence when something happens to the group."""

    def run(self) -> Any:
        """Run the loop on every worker, restarting the group when a worker is killed.

        Raises:
            WorkerRaised: A worker's function raised; it is not tried again.
            StepFailed: Workers were killed more often than the spec allows.
        """
        failures = 0
        while True:
            outcome = self._attempt()
            if not isinstance(outcome, _Killed):
                return outcome
            failures += 1
            if failures > self.spec.max_failures:
                raise StepFailed(
                    f"Worker {outcome.rank} was killed by {outcome.signal}, "
                    f"the group's {ordinal(failures)} loss (max_failures="
                    f"{self.spec.max_failures}).",
                    hint="SIGKILL without anybody's doing usually means that memory ran out: "
                    "fewer workers or smaller batches",
                )
            latest = ray_reports.latest_checkpoint(self.checkpoints)
            start = f"checkpoint {ray_reports.index_of(latest)}" if latest else "the beginning"
            self.on_note(
                f"worker {outcome.rank} was killed by {outcome.signal}; restarting from {start} "
                f"({failures} of {self.spec.max_failures})"
            )

    def _attempt(self) -> Any:
        ray_reports.drop_unfinished(self.checkpoints)
        context = multiprocessing.get_context("fork")
        port = _free_port()
        workers, pipes = [], []
        sys.stdout.flush()
        sys.stderr.flush()
        for rank in range(self.spec.workers):
            theirs: Any
            ours, theirs = context.Pipe(duplex=False)
            # Not a daemon in the sense of multiprocessing: those may have no children, and
            # torch's DataLoader wants some.
            worker = context.Process(target=self._work, args=(rank, port, theirs))
            worker.start()
            theirs.close()
            workers.append(worker)
            pipes.append(ours)
        try:
            return self._await(workers, pipes)
        finally:
            for worker in workers:
                if worker.is_alive():
                    worker.kill()
                worker.join()

    def _await(self, workers: list[Any], pipes: list[Any]) -> Any:
        """Rank 0's result once all are done, or what became of the first that failed."""
        running = {worker.sentinel: rank for rank, worker in enumerate(workers)}
        unread = {pipe: rank for rank, pipe in enumerate(pipes)}
        told: dict[int, _Told] = {}
        while running:
            connection.wait([*running, *unread])
            failed = _look(workers, running, unread, told)
            if isinstance(failed, _Told):
                # Others fail because one did, and may be seen before it.
                time.sleep(_SETTLE)
                failed = _look(workers, running, unread, told)
            if isinstance(failed, _Told):
                raise WorkerRaised(failed.rank, failed.value)
            if failed:
                return failed
        return told[0].value

    def _work(self, rank: int, port: int, pipe: Any) -> None:
        """The life of one worker, in a process of its own."""
        die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the runner's affair
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.environ.update(worker_environment(self.spec, rank, port))
        from ray import cloudpickle  # takes classes that exist in this process alone

        try:
            value = self._train(rank)
            message = cloudpickle.dumps(_Told(rank=rank, value=value))
        except BaseException as error:
            at = time.monotonic()
            traceback.print_exc()
            told = _Told(rank=rank, value=self.describe(error), raised_at=at)
            message = cloudpickle.dumps(told)
        sys.stdout.flush()
        sys.stderr.flush()
        pipe.send_bytes(message)
        pipe.close()
        # Interpreter shutdown would wait for threads of torch's process group.
        os._exit(0)

    def _train(self, rank: int) -> Any:
        import torch
        from ray.train import ScalingConfig
        from ray.train.torch import TorchTrainer

        torch.set_num_threads(max(1, int(self.spec.cpus_per_worker)))

        def loop() -> Any:
            ray_reports.install(self.checkpoints, self.on_report)
            return self.loop()

        trainer = TorchTrainer(loop, scaling_config=ScalingConfig(num_workers=0))
        return trainer.fit().return_value


@dataclass(frozen=True)
class _Killed:
    rank: int
    signal: str


@dataclass(frozen=True, kw_only=True)
class _Told:
    """A worker's last word."""

    rank: int
    value: Any
    """What its loop returned, or the description of what it raised."""
    raised_at: float | None = None
    """When it raised, on the clock that all processes share; None if it did not."""


def _look(
    workers: list[Any], running: dict[int, int], unread: dict[Any, int], told: dict[int, _Told]
) -> _Killed | _Told | None:
    """Take in what workers said and who ended; the worker that failed first, if any has.

    A death counts before an exception: those who exchanged data with the dead raise.
    """
    ended = [one for one, rank in running.items() if workers[rank].exitcode is not None]
    for pipe in [one for one in unread if one.poll()]:
        rank = unread.pop(pipe)
        with suppress(EOFError, OSError):  # it died without a word
            told[rank] = pipe.recv()
    for rank in [running.pop(one) for one in ended]:
        if rank not in told:
            code = workers[rank].exitcode
            how = signal.Signals(-code).name if code < 0 else f"its own exit with status {code}"
            return _Killed(rank, how)
    raised = [(one.raised_at, rank) for rank, one in told.items() if one.raised_at is not None]
    return told[min(raised)[1]] if raised else None


def worker_environment(spec: RaySpec, rank: int, port: int) -> dict[str, str]:
    """What `torchrun` would set for this worker, and which devices it may see."""
    environment = {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(spec.workers),
        "LOCAL_WORLD_SIZE": str(spec.workers),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": str(max(1, int(spec.cpus_per_worker))),
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
    }
    if not spec.gpus_per_worker:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return environment


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ordinal(number: int) -> str:
    """`third` for 3."""
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")
