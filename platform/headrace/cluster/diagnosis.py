"""What is wrong with a pod: a cause, a sentence, a remedy, from what Kubernetes says of it."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.cluster import queues
from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.creations import why_given_up, why_no_pod
from headrace.cluster.ends import why_ended
from headrace.cluster.problems import Cause, Problem
from headrace.cluster.waits import why_waiting
from headrace.core.states import State

__all__ = ["Cause", "Problem", "events_about", "of_job", "of_pod", "of_waiting", "state_of"]

STATES = {
    "Pending": State.PENDING,
    "Running": State.RUNNING,
    "Succeeded": State.SUCCEEDED,
    "Failed": State.FAILED,
    "Unknown": State.FAILED,
}
"""Kubernetes' phases of a pod in our words; one that nobody knows counts as failed."""


def state_of(pod: Manifest) -> State:
    """Where a pod stands. One that is being deleted while it runs counts as cancelled."""
    state = STATES.get(str(pod.get("status", {}).get("phase", "Pending")), State.FAILED)
    if "deletionTimestamp" in pod["metadata"] and not state.done:
        return State.FAILED if why_ended(pod) else State.CANCELLED
    return state


def of_pod(pod: Manifest, events: Sequence[Manifest] = ()) -> Problem | None:
    """What is wrong with a pod; None if nothing is, as far as can be seen.

    Args:
        pod: The pod.
        events: Events; those about other things are passed over.
    """
    if pod.get("status", {}).get("phase") == "Succeeded":
        return None
    name = pod["metadata"]["name"]
    about = [one for one in events if one.get("involvedObject", {}).get("name", name) == name]
    return why_ended(pod) or why_waiting(pod, about)


def of_job(cluster: Cluster, job: str, pod: Manifest | None = None) -> Problem | None:
    """What is wrong with a Job, or with its pod; None if nothing is, as far as can be seen.

    Args:
        cluster: Where it is.
        job: The Job's name.
        pod: Its pod, if it has one; it may be gone from the cluster.

    Raises:
        ClusterProblem: The cluster does not answer, or whoever asks may not look.
    """
    found = cluster.get("jobs", job)
    if found and (problem := why_given_up(found)):
        return problem
    if pod is not None:
        lost = queues.why_put_back(cluster, found) if found else None
        return lost or of_waiting(cluster, pod)
    problem = why_no_pod(found, events_about(cluster, job)) if found else None
    return queues.explained(cluster, found, problem)


def of_waiting(cluster: Cluster, pod: Manifest) -> Problem | None:
    """What is wrong with a pod, by its events and by the queue that is to admit it.

    Raises:
        ClusterProblem: The cluster does not answer, or whoever asks may not look.
    """
    problem = of_pod(pod, events_about(cluster, pod["metadata"]["name"]))
    return queues.explained(cluster, pod, problem)


def events_about(cluster: Cluster, name: str) -> list[Manifest]:
    """The events about an object, of whatever kind, by its name."""
    return cluster.list("events", fields=f"involvedObject.name={name}")
