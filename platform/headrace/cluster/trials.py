"""A pod that tries something, and is gone afterwards."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from headrace.cluster import diagnosis, labels, pods
from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.errors import ClusterProblem, NotThere
from headrace.cluster.problems import Cause, Problem, newest

CONTAINER = "trial"
ROLE = "trial"
_POLL_SECONDS = 0.25
_DEADLINE_SECONDS = 600
_GIVEN_UP_AFTER = {
    Cause.IMAGE: 8.0, Cause.CONFIG: 3.0, Cause.UNSCHEDULABLE: 30.0, Cause.NODE: 20.0,
    Cause.QUEUED: 30.0,
}  # fmt: skip
"""Seconds for which a trouble may pass by itself."""
_PULLED = re.compile(r"in (?P<time>[\d.]+(?:ms|m?s|m[\d.]+s)) \(.*Image size: (?P<size>\d+) bytes")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is tried, and how its pod is made."""

    name: str
    """The pod's name."""
    image: str
    """Its image."""
    command: Sequence[str]
    """What runs in it."""
    variables: Sequence[Mapping[str, Any]] = ()
    """Its environment, as a container has it."""
    account: str = "default"
    """Its service account."""
    token: bool = True
    """Whether it may ask the cluster for something."""
    pull_secrets: Sequence[str] = ()
    """Secrets with which its image is pulled."""
    node_selector: Mapping[str, str]
    """Labels of the nodes that it goes to."""
    tolerations: Sequence[Mapping[str, Any]] = ()
    """Taints that it tolerates."""
    queue: str = ""
    """The Kueue queue that admits it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it."""

    log: str
    """What the container wrote."""
    problem: Problem | None
    """What went wrong; None if it ended well."""
    waited: float
    """Seconds from asking for the pod until its container ran; or until it was given up."""
    pulled: str
    """How long the pull took and how large the image is; empty if the node had it."""


def manifest(trial: Trial) -> Manifest:
    """The pod of a trial."""
    queue = {labels.QUEUE: trial.queue} if trial.queue else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": trial.name,
            "labels": {**labels.MANAGED, labels.ROLE: ROLE, **queue},
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": _DEADLINE_SECONDS,
            "terminationGracePeriodSeconds": 0,
            "enableServiceLinks": False,
            "serviceAccountName": trial.account,
            "automountServiceAccountToken": trial.token,
            "securityContext": pods.pod_security(),
            "imagePullSecrets": [{"name": one} for one in trial.pull_secrets],
            "nodeSelector": dict(trial.node_selector),
            "tolerations": list(trial.tolerations),
            "volumes": pods.volumes(),
            "containers": [
                {
                    "name": CONTAINER,
                    "image": trial.image,
                    "command": list(trial.command),
                    "env": list(trial.variables),
                    "resources": pods.resources("100m", "512Mi"),
                    "securityContext": pods.container_security(),
                    "volumeMounts": pods.mounts(),
                }
            ],
        },
    }


def run(cluster: Cluster, trial: Trial, *, patience: float) -> Outcome:
    """Run a trial and remove its pod.

    Args:
        cluster: Where.
        trial: What.
        patience: Seconds after which it is given up.

    Raises:
        ClusterProblem: The pod cannot be made, or the cluster does not answer.
    """
    began = time.monotonic()
    with _pod(cluster, trial):
        waited = _until_started(cluster, trial.name, began, patience)
        pod, problem = _until_over(cluster, trial.name, began, patience)
        log = ""
        if pod["status"].get("phase") in ("Succeeded", "Failed"):
            with suppress(ClusterProblem):
                log = "\n".join(cluster.logs(trial.name, container=CONTAINER))
        events = diagnosis.events_about(cluster, trial.name)
        return Outcome(log=log, problem=problem, waited=waited, pulled=pulled(events))


def pulled(events: Sequence[Manifest]) -> str:
    """How long the pull took, and how large the image is: `2.1s, 0.6 GB`."""
    event = newest(events, "Pulled", saying="Image size")
    match = _PULLED.search(str(event["message"])) if event else None
    return f"{match['time']}, {int(match['size']) / 1e9:.1f} GB" if match else ""


@contextmanager
def _pod(cluster: Cluster, trial: Trial) -> Iterator[None]:
    cluster.create(manifest(trial))
    try:
        yield
    finally:
        with suppress(ClusterProblem):
            cluster.delete("pods", trial.name, grace=0)


def _until_started(cluster: Cluster, name: str, began: float, patience: float) -> float:
    while True:
        pod = _get(cluster, name)
        state = [one.get("state", {}) for one in pod["status"].get("containerStatuses", [])]
        started = any("running" in one or "terminated" in one for one in state)
        waited = time.monotonic() - began
        if started or _hopeless(cluster, pod, waited) or waited > patience:
            return waited
        time.sleep(_POLL_SECONDS)


def _until_over(
    cluster: Cluster, name: str, began: float, patience: float
) -> tuple[Manifest, Problem | None]:
    while True:
        pod = _get(cluster, name)
        waited = time.monotonic() - began
        over = pod["status"].get("phase") in ("Succeeded", "Failed")
        problem = _hopeless(cluster, pod, waited)
        if over or problem:
            return pod, problem or diagnosis.of_pod(pod)
        if waited > patience:
            found = diagnosis.of_waiting(cluster, pod)
            return pod, found or Problem(
                cause=Cause.DEADLINE, text=f"was not done after {patience:.0f} s",
                remedy=f"kubectl -n {cluster.namespace} describe pod {name}, while it is tried",
            )  # fmt: skip
        time.sleep(_POLL_SECONDS)


def _hopeless(cluster: Cluster, pod: Manifest, waited: float) -> Problem | None:
    """What is wrong with a pod for so long that waiting is no use."""
    if pod["status"].get("phase") != "Pending":
        return None
    problem = diagnosis.of_waiting(cluster, pod)
    if problem is None or waited < _GIVEN_UP_AFTER.get(problem.cause, 0.0):
        return None
    return problem


def _get(cluster: Cluster, name: str) -> Manifest:
    found = cluster.get("pods", name)
    if found is None:
        raise NotThere("The pod was deleted while it was tried.", where=f"{cluster.where}, {name}")
    return found
