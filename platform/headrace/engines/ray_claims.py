"""Lets one training at a time use the checkpoints of a key.

The claim is a ConfigMap of the key's name. The step's pod owns it, so that it goes with the pod.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.errors import ClusterProblem, Conflict
from headrace.core.errors import StepFailed
from headrace.engines import ray_watching
from headrace.engines.ray_logs import until

_GONE = 90.0
"""Seconds that an earlier attempt's cluster may take to go."""


@dataclass(frozen=True)
class Claim:
    """A name for a job that nobody else has."""

    name: str
    """The name."""
    first: bool
    """Whether the checkpoints of the key are this training's; another has them otherwise."""


@contextmanager
def claim(
    cluster: Cluster,
    name: str,
    *,
    metadata: Mapping[str, Any],
    stays: bool,
    on_note: Callable[[str], None],
) -> Iterator[Claim]:
    """The name to use for a training, and whether the checkpoints of its key are its own.

    What an attempt left whose pod has ended is removed first: it would go on writing
    checkpoints. If a living pod has the name, the same training is under way elsewhere.

    Args:
        cluster: The cluster.
        name: The name that this work has.
        metadata: Labels and owner of the claim.
        stays: Whether the job runs on a cluster that stays, whose head keeps names of jobs that
            have ended, rather than as a RayJob of that name.
        on_note: Told when this training has to begin anew.
    """
    anew = f"{name[:40]}-{uuid.uuid4().hex[:6]}"
    mark = {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {**metadata, "name": name},
    }  # fmt: skip
    uid = _made(cluster, mark)
    if not uid:
        on_note("the same training is under way elsewhere: this one starts from the beginning")
        yield Claim(anew, False)
        return
    try:
        if not stays:
            _clear(cluster, name)
        yield Claim(anew if stays else name, True)
    finally:
        with suppress(ClusterProblem):
            cluster.delete("configmaps", name, uid=uid)


def _made(cluster: Cluster, mark: Manifest) -> str:
    """The uid of the claim, this pod's now; empty if another that lives has it."""
    name = mark["metadata"]["name"]
    while True:
        with suppress(Conflict):
            # Where an answer was lost, this is what is there, and may be another's.
            made = cluster.create(mark)
            return str(made["metadata"]["uid"]) if _owners(made) == _owners(mark) else ""
        there = cluster.get("configmaps", name)
        if there is not None:
            if _owned_by_the_living(cluster, there):
                return ""
            with suppress(Conflict):  # somebody else's by now
                cluster.delete("configmaps", name, uid=there["metadata"]["uid"])


def _owners(made: Manifest) -> list[str]:
    return [one["uid"] for one in made["metadata"].get("ownerReferences") or []]


def _owned_by_the_living(cluster: Cluster, mark: Manifest) -> bool:
    for one in mark["metadata"].get("ownerReferences") or []:
        pod = cluster.get("pods", one["name"])
        phase = (pod or {}).get("status", {}).get("phase")
        if pod and pod["metadata"]["uid"] == one["uid"] and phase in ("Pending", "Running"):
            return "deletionTimestamp" not in pod["metadata"]
    return False


def _clear(cluster: Cluster, name: str) -> None:
    """Remove the RayJob that an attempt which has ended has left."""
    there = cluster.get("rayjobs", name)
    if there is None:
        return
    cluster.delete("rayjobs", name, uid=there["metadata"]["uid"])
    if not until(lambda: _is_gone(cluster, name), _GONE, pause=0.5):
        raise StepFailed(
            f"The Ray cluster of an earlier attempt does not go: RayJob {name}.",
            where=cluster.where,
            hint="is KubeRay's operator running? It has to let go of the RayJob",
        )


def _is_gone(cluster: Cluster, name: str) -> bool:
    pods = cluster.list("pods", ray_watching.selector(name))
    return not pods and cluster.get("rayjobs", name) is None
