"""What a Ray step asks for. The door to Ray's own modules is `ray_local`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class RaySpec:
    """A group of workers that all run one `ray.train` loop."""

    workers: int = 1
    """How many processes run the loop."""
    cpus_per_worker: float = 1
    """Cores of each worker; on one machine, the threads torch may use."""
    gpus_per_worker: float = 0
    """GPUs of each worker."""
    max_failures: int = 2
    """How many times a killed worker restarts the group from its last checkpoint."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for the compiled pipeline."""
        return asdict(self)
