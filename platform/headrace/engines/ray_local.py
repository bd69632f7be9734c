"""The door to Ray on one machine: a `ray.train` loop in forked workers, no Ray cluster.

Each worker is a fork of this process, which has imported torch and Ray already, with the
environment that `torchrun` gives its workers. Inside, Ray Train runs in its own local
mode (`ScalingConfig(num_workers=0)`), so the user's loop meets the real `ray.train`.
Local mode keeps reported checkpoints in memory only; `_Reports` adds what a cluster's
Ray Train does with them: every report is a barrier, rank 0's checkpoint is put away, and
a restarted group begins from it.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from headrace.core.errors import StepFailed
from headrace.engines.ray import RaySpec

_PR_SET_PDEATHSIG = 1
_PREFIX = "checkpoint_"


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
                    f"the group's {_ordinal(failures)} loss (max_failures="
                    f"{self.spec.max_failures}).",
                    hint="SIGKILL without anybody's doing usually means that memory ran out: "
                    "fewer workers or smaller batches",
                )
            latest = latest_checkpoint(self.checkpoints)
            start = f"checkpoint {_index(latest)}" if latest else "the beginning"
            self.on_note(
                f"worker {outcome.rank} was killed by {outcome.signal}; restarting from {start} "
                f"({failures} of {self.spec.max_failures})"
            )

    def _attempt(self) -> Any:
        context = multiprocessing.get_context("fork")
        port = _free_port()
        workers, pipes = [], []
        sys.stdout.flush()
        sys.stderr.flush()
        for rank in range(self.spec.workers):
            theirs: Any
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(target=self._work, args=(rank, port, theirs), daemon=True)
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
        readable = dict(zip(pipes, range(len(pipes)), strict=True))
        results: dict[int, tuple[bool, Any]] = {}
        while running:
            for ready in connection.wait([*running, *readable]):
                if isinstance(ready, connection.Connection):
                    rank = readable.pop(ready)
                    try:
                        results[rank] = ready.recv()
                    except EOFError:
                        continue  # it died without a word: its sentinel says how
                    if not results[rank][0]:
                        raise WorkerRaised(rank, results[rank][1])
                    continue
                rank = running.pop(ready)
                workers[rank].join()
                code = workers[rank].exitcode
                if rank not in results and pipes[rank].poll():
                    results[rank] = pipes[rank].recv()
                    readable.pop(pipes[rank], None)
                    if not results[rank][0]:
                        raise WorkerRaised(rank, results[rank][1])
                if code < 0:
                    return _Killed(rank, signal.Signals(-code).name)
                if code > 0 and rank not in results:
                    return _Killed(rank, f"its own exit with status {code}")
        return results[0][1]

    def _work(self, rank: int, port: int, pipe: Any) -> None:
        """The life of one worker, in a process of its own."""
        _die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the runner's affair
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.environ.update(worker_environment(self.spec, rank, port))
        try:
            result = (True, self._train(rank))
        except BaseException as error:
            import traceback

            traceback.print_exc()
            result = (False, self.describe(error))
        sys.stdout.flush()
        sys.stderr.flush()
        pipe.send(result)
        pipe.close()
        # Interpreter shutdown would wait for threads of torch's process group.
        os._exit(0 if result[0] else 1)

    def _train(self, rank: int) -> Any:
        import torch
        from ray.train import ScalingConfig
        from ray.train.torch import TorchTrainer

        torch.set_num_threads(max(1, int(self.spec.cpus_per_worker)))

        def loop() -> Any:
            _Reports.install(self.checkpoints, self.on_report)
            return self.loop()

        trainer = TorchTrainer(loop, scaling_config=ScalingConfig(num_workers=0))
        return trainer.fit().return_value


@dataclass(frozen=True)
class _Killed:
    rank: int
    signal: str


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


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in `folder`, if there is one."""
    complete = sorted(folder.glob(f"{_PREFIX}*")) if folder.is_dir() else []
    return complete[-1] if complete else None


def _index(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(_PREFIX))


class _Reports:
    """`ray.train.report` and `get_checkpoint` for a worker of a local group."""

    @staticmethod
    def install(folder: Path, on_report: Callable[[Mapping[str, float], int], None]) -> None:
        """Put ourselves in the place of local mode's bookkeeping, in this process."""
        from ray.train import Checkpoint
        from ray.train.v2._internal.execution import train_fn_utils as ray_train

        base = ray_train.get_train_fn_utils()
        latest = latest_checkpoint(folder)

        class Reporting(ray_train.LocalTrainFnUtils):  # type: ignore[misc]
            next_index = _index(latest) + 1 if latest else 0

            def report(self, metrics: Any, checkpoint: Any = None, *args: Any, **kw: Any) -> None:
                super().report(metrics, checkpoint, *args, **kw)
                rank, index = self._context.get_world_rank(), self.next_index
                self.next_index += 1
                if checkpoint is not None:
                    with checkpoint.as_directory() as source:
                        shutil.copytree(source, folder / f".{index:06}", dirs_exist_ok=True)
                _barrier()
                if rank == 0:
                    _commit(folder, index)
                    on_report(_numbers(metrics), index)
                _barrier()
                self._last_checkpoint = self.get_checkpoint()

            def get_checkpoint(self) -> Any:
                newest = latest_checkpoint(folder)
                return Checkpoint.from_directory(str(newest)) if newest else None

            def is_distributed(self) -> bool:
                return bool(self._context.get_world_size() > 1)

            def barrier(self) -> None:
                _barrier()

            def broadcast_from_rank_zero(self, data: Any) -> Any:
                return _broadcast(data)

        ours = Reporting.__new__(Reporting)
        ours.__dict__.update(base.__dict__)
        ray_train.set_train_fn_utils(ours)


def _commit(folder: Path, index: int) -> None:
    """Make the checkpoint of `index` the latest, if there is one, and drop what is older."""
    pending = folder / f".{index:06}"
    if not pending.is_dir():
        return
    pending.rename(folder / f"{_PREFIX}{index:06}")
    for old in sorted(folder.glob(f"{_PREFIX}*"))[:-1]:
        shutil.rmtree(old, ignore_errors=True)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {
        key: float(value)
        for key, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _barrier() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.barrier()


def _broadcast(data: Any) -> Any:
    import torch.distributed as dist

    if not dist.is_initialized():
        return data
    box = [data]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _ordinal(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")
