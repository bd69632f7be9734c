"""What served a model before a roll-out, and how that is put back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.cluster import labels
from headrace.cluster.client import Cluster, Manifest
from headrace.serving.offers import VERSION

KINDS = (
    "horizontalpodautoscalers",
    "deployments",
    "services",
    "poddisruptionbudgets",
    "networkpolicies",
)
"""What a served model consists of, in the order to take it away."""
REVISION = "deployment.kubernetes.io/revision"
TEMPLATE_HASH = "pod-template-hash"
_FOREIGN = "deployment.kubernetes.io/"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A model's objects at one moment."""

    name: str
    """What they are all called."""
    objects: Mapping[str, Manifest | None]
    """By kind; None where there was none."""

    @property
    def deployment(self) -> Manifest | None:
        """The Deployment."""
        return self.objects["deployments"]


def take(cluster: Cluster, name: str) -> Snapshot:
    """The objects of a model as they are now."""
    return Snapshot(name=name, objects={kind: cluster.get(kind, name) for kind in KINDS})


def put_back(cluster: Cluster, snapshot: Snapshot, changed: Iterable[str]) -> str:
    """Make objects what they were, and remove those that were not there.

    Args:
        cluster: Where.
        snapshot: What was there.
        changed: The kinds to put back.

    Returns:
        The version that is served again; empty if none is.
    """
    chosen = set(changed)
    version = ""
    for kind in KINDS:
        there = snapshot.objects[kind]
        if kind not in chosen:
            continue
        if there is None:
            cluster.delete(kind, snapshot.name)
            continue
        wanted = restorable(there)
        if kind == "deployments":
            now = cluster.get(kind, snapshot.name)
            wanted = last_good(wanted, now, replica_sets(cluster, now)) if now else wanted
            version = version_of(wanted)
        cluster.apply(wanted)
    return version


def restorable(found: Manifest) -> Manifest:
    """What is to be applied to have an object again as it was found."""
    meta = found["metadata"]
    annotations = meta.get("annotations", {}).items()
    return {
        "apiVersion": found["apiVersion"],
        "kind": found["kind"],
        "metadata": {
            "name": meta["name"],
            "labels": dict(meta.get("labels", {})),
            "annotations": {key: one for key, one in annotations if not key.startswith(_FOREIGN)},
        },
        "spec": found["spec"],
    }


def version_of(deployment: Manifest) -> str:
    """The version that a Deployment's pods serve."""
    told: Mapping[str, Any] = deployment["spec"]["template"]["metadata"].get("annotations", {})
    return str(told.get(VERSION, ""))


def revision_of(found: Manifest) -> int:
    """Which of a Deployment's templates an object stands for."""
    return int(found["metadata"].get("annotations", {}).get(REVISION, 0))


def replica_sets(cluster: Cluster, deployment: Manifest) -> list[Manifest]:
    """A Deployment's ReplicaSets, one for each template, the latest first."""
    uid = deployment["metadata"]["uid"]
    selector = labels.selector(deployment["spec"]["selector"]["matchLabels"])
    found = [
        one
        for one in cluster.list("replicasets", selector)
        if any(owner["uid"] == uid for owner in one["metadata"].get("ownerReferences", []))
    ]
    return sorted(found, key=revision_of, reverse=True)


def last_good(wanted: Manifest, now: Manifest, sets: list[Manifest]) -> Manifest:
    """The Deployment with the template whose pods answer, and as many as there are now.

    That is not always the one found before: an earlier roll-out may have been cut short.

    Args:
        wanted: What was found before.
        now: The Deployment as it is, with a template that is to be given up.
        sets: Its ReplicaSets, the latest first.
    """
    spec = {**wanted["spec"], "replicas": now["spec"].get("replicas", 1)}
    others = [one for one in sets if revision_of(one) != revision_of(now)]
    answering = [one for one in others if one.get("status", {}).get("availableReplicas", 0)]
    if answering:
        spec["template"] = _template(answering[0])
    told = {**wanted["metadata"]["annotations"], **_content(spec["template"])}
    return {**wanted, "metadata": {**wanted["metadata"], "annotations": told}, "spec": spec}


def _template(replica_set: Manifest) -> Manifest:
    template: Manifest = replica_set["spec"]["template"]
    kept = {k: v for k, v in template["metadata"]["labels"].items() if k != TEMPLATE_HASH}
    return {**template, "metadata": {**template["metadata"], "labels": kept}}


def _content(template: Manifest) -> dict[str, str]:
    return dict(template["metadata"].get("annotations", {}))
