"""Joins workers into torch's process group without importing torch where nothing trains."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import ray
from ray.train._internal.utils import get_address_and_port
from ray.train.backend import Backend, BackendConfig


@dataclass
class TorchOnWorkers(BackendConfig):  # type: ignore[misc]
    """In place of Ray's `TorchConfig`, whose module imports torch wherever it is read."""

    backend: str = "gloo"
    """`gloo`, or `nccl` for GPUs."""

    @property
    def backend_cls(self) -> type:
        """What sets the workers up."""
        return _Joining

    @property
    def train_func_context(self) -> Any:
        """What surrounds the loop on each worker."""
        return _Surrounded


class _Surrounded:
    """Ray's own context for a torch loop, found on the worker."""

    def __enter__(self) -> None:
        from ray.train.torch.config import TorchConfig

        self._own = TorchConfig().train_func_context()
        self._own.__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self._own.__exit__(*error)


class _Joining(Backend):  # type: ignore[misc]
    """Sets the process group up, in one round. A group ends with its workers' processes."""

    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: TorchOnWorkers) -> None:
        address, port = worker_group.execute_single(0, get_address_and_port)
        size = len(worker_group)
        joined = [
            worker_group.execute_single_async(
                rank, _join, backend_config.backend, rank, size, address, port
            )
            for rank in range(size)
        ]
        ray.get(joined)


def _join(backend: str, rank: int, size: int, address: str, port: int) -> None:
    from ray.train.torch import config

    os.environ |= {"MASTER_ADDR": address, "MASTER_PORT": str(port)}
    config._set_torch_distributed_env_vars()
    config._setup_torch_process_group(backend, rank, size, "env://")
