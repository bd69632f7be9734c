"""`ray.train.report` and `get_checkpoint` for the workers of a local group.

Ray Train's local mode keeps reported checkpoints in memory only. Here reports do what they
do on a cluster: each is a barrier, rank 0's checkpoint is put away, and a restarted group
begins from it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

_PREFIX = "checkpoint_"


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in `folder`, if there is one."""
    complete = sorted(folder.glob(f"{_PREFIX}*")) if folder.is_dir() else []
    return complete[-1] if complete else None


def index_of(checkpoint: Path) -> int:
    """The number of the report that a checkpoint came with."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def drop_unfinished(folder: Path) -> None:
    """Remove what a death left of a checkpoint: the next one would take it in."""
    for unfinished in folder.glob(".[0-9]*"):
        shutil.rmtree(unfinished)


def install(folder: Path, on_report: Callable[[Mapping[str, float], int], None]) -> None:
    """Put ourselves in the place of local mode's bookkeeping, in this process.

    Args:
        folder: Where checkpoints are kept.
        on_report: Called in rank 0 with each report's metrics and index.
    """
    from ray.train import Checkpoint
    from ray.train.v2._internal.execution import train_fn_utils as ray_train

    base = ray_train.get_train_fn_utils()
    latest = latest_checkpoint(folder)

    class Reporting(ray_train.LocalTrainFnUtils):  # type: ignore[misc]
        next_index = index_of(latest) + 1 if latest else 0

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
                on_report(numbers(metrics), index)
            _barrier()
            self._last_checkpoint = self.get_checkpoint()

        def get_checkpoint(self) -> Any:
            newest = latest_checkpoint(folder)
            return Checkpoint.from_directory(str(newest)) if newest else None

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


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Those of the reported metrics that are numbers."""
    return {
        key: float(value)
        for key, value in metrics.items()
        if isinstance(value, Real) and not isinstance(value, bool)
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
