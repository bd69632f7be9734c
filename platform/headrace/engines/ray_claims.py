"""Lets one training at a time use the checkpoints of a key: the RayJob's name is the claim."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.cluster.client import Cluster, Manifest
from headrace.core.errors import StepFailed
from headrace.engines import ray_watching
from headrace.engines.ray_logs import until

_GONE = 90.0
"""Seconds that an earlier attempt's cluster may take to go."""


@dataclass(frozen=True)
class Claim:
    """A name for a RayJob that nobody else has."""

    name: str
    """The name."""
    first: bool
    """Whether the checkpoints of the key are this training's; another has them otherwise."""


def claim(cluster: Cluster, name: str, *, stays: bool, on_note: Callable[[str], None]) -> Claim:
    """The name to use for a training, once nobody works under it.

    What an attempt left whose pod has ended is removed first: it would go on writing
    checkpoints. If a living pod has the name, the same training is under way elsewhere.

    Args:
        cluster: The cluster.
        name: The name that this work has.
        stays: Whether the job runs on a cluster that stays, where no RayJob holds the name.
        on_note: Told when this training has to begin anew.
    """
    suffix = uuid.uuid4().hex[:6]
    if stays:
        return Claim(f"{name[:40]}-{suffix}", True)
    there = cluster.get("rayjobs", name)
    if there is None:
        return Claim(name, True)
    if _owned_by_the_living(cluster, there):
        on_note("the same training is under way elsewhere: this one starts from the beginning")
        return Claim(f"{name[:40]}-{suffix}", False)
    cluster.delete("rayjobs", name, uid=there["metadata"]["uid"])
    if not until(lambda: _is_gone(cluster, name), _GONE, pause=0.5):
        raise StepFailed(
            f"The Ray cluster of an earlier attempt does not go: RayJob {name}.",
            where=cluster.where,
            hint="is KubeRay's operator running? It has to let go of the RayJob",
        )
    return Claim(name, True)


def _is_gone(cluster: Cluster, name: str) -> bool:
    pods = cluster.list("pods", ray_watching.selector(name))
    return not pods and cluster.get("rayjobs", name) is None


def _owned_by_the_living(cluster: Cluster, ray_job: Manifest) -> bool:
    owners: list[Mapping[str, Any]] = ray_job["metadata"].get("ownerReferences") or []
    for one in owners:
        pod = cluster.get(str(one["kind"]).lower() + "s", one["name"])
        phase = (pod or {}).get("status", {}).get("phase")
        if pod and pod["metadata"]["uid"] == one["uid"] and phase in ("Pending", "Running"):
            return "deletionTimestamp" not in pod["metadata"]
    return False
