"""What a Ray step asks for. The doors to Ray's own modules are `ray_local` and `ray_training`."""

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
    min_workers: int | None = None
    """On a cluster, how few workers suffice while no more can be had; all of them unless given."""
    memory: str = ""
    """On a cluster, each worker's memory in Kubernetes' notation; the site's unless given."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for the compiled pipeline. The last two stand there only if given."""
        unused = [name for name in ("min_workers", "memory") if not getattr(self, name)]
        return {name: value for name, value in asdict(self).items() if name not in unused}
