"""What Kueue says of things that it has not admitted: its Workloads, in our words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from headrace.cluster import labels
from headrace.cluster.client import Cluster
from headrace.cluster.errors import Forbidden, NotThere
from headrace.cluster.problems import Cause, Problem, Thing, condition, moment, short

_POD_SET = re.compile(r"couldn't assign flavors to pod set \S+: ")
_TOO_MUCH = re.compile(
    r"insufficient quota for (?P<what>\S+) in flavor (?P<flavor>\S+), previously considered podsets"
    r" requests \((?P<before>\S+)\) \+ current podset request \((?P<now>\S+)\)"
    r" > maximum capacity \((?P<most>\S+)\)"
)
_NO_QUEUE = re.compile(r"LocalQueue \S+ (doesn't exist|is terminating or missing)")
_NOWHERE = re.compile(
    r"ClusterQueue \S+ (doesn't exist|is terminating or missing)"
    r"|doesn't match ClusterQueue selector"
)
_UNKNOWN = re.compile(r"unavailable in ClusterQueue")
_INACTIVE = re.compile(r"(Local|Cluster)Queue \S+ is (inactive|stopped)")


def waiting(cluster: Cluster) -> dict[str, Problem]:
    """What waits to be admitted, by the unique id of the Job, pod or RayJob.

    Nothing where there is no Kueue, or whoever asks may not look at its Workloads.

    Raises:
        ClusterProblem: The cluster does not answer.
    """
    with suppress(NotThere, Forbidden):
        told = [(one, problem_of(one)) for one in cluster.list("workloads")]
        return {
            str(owner["uid"]): problem
            for one, problem in told
            if problem
            for owner in one["metadata"].get("ownerReferences") or ()
        }
    return {}


def explained(cluster: Cluster, thing: Thing | None, problem: Problem | None) -> Problem | None:
    """A problem, with Kueue's reason where it is that a thing has not been admitted.

    Args:
        cluster: Where the thing is.
        thing: The Job or pod that has the problem.
        problem: What is known without asking Kueue.
    """
    if thing is None or problem is None or problem.cause is not Cause.QUEUED:
        return problem
    return waiting(cluster).get(str(thing["metadata"].get("uid")), problem)


def why_put_back(cluster: Cluster, job: Thing) -> Problem | None:
    """Why a queue has taken back the place of a Job that had a pod; None if it has not.

    Raises:
        ClusterProblem: The cluster does not answer.
    """
    # Its condition comes later than the end of its pod.
    if not job.get("spec", {}).get("suspend"):
        return None
    said = ""
    with suppress(NotThere, Forbidden):
        said = next((_told(one, "Evicted") for one in _of(cluster, job)), "")
    queue = (job["metadata"].get("labels") or {}).get(labels.QUEUE, "")
    return Problem(
        cause=Cause.PREEMPTED,
        text=f"lost its place in the queue {queue}".rstrip() + f": {said}" * bool(said),
        remedy="run again: what was finished is reused",
    )  # fmt: skip


def _of(cluster: Cluster, thing: Thing) -> Iterator[Thing]:
    """The Workloads of a Job or pod."""
    uid = thing["metadata"].get("uid")
    for one in cluster.list("workloads"):
        if uid in [owner["uid"] for owner in one["metadata"].get("ownerReferences") or ()]:
            yield one


def unexplained(thing: Thing, since: float | None) -> Problem:
    """What is known of a Job or pod that waits before Kueue has said why. Pure."""
    queue = (thing["metadata"].get("labels") or {}).get(labels.QUEUE, "")
    return _queued(str(queue), since)


def _queued(queue: str, since: float | None) -> Problem:
    return Problem(
        cause=Cause.QUEUED,
        text=f"waits for the queue {queue}" if queue else "has not been admitted by its queue",
        remedy="`kubectl describe workloads` tells what the queue waits for",
        since=since,
    )


def problem_of(workload: Thing) -> Problem | None:
    """Why a Workload has not been admitted; None if it has, or is over. Pure."""
    if any(condition(workload, one).get("status") == "True" for one in ("Admitted", "Finished")):
        return None
    queue = str(workload.get("spec", {}).get("queueName") or "")
    since = moment(workload["metadata"].get("creationTimestamp"))
    if workload.get("spec", {}).get("active") is False:
        return Problem(
            cause=Cause.REFUSED, since=since,
            text=f"was put out of the queue {queue}: {_told(workload, 'Evicted') or 'by somebody'}",
            remedy="`kubectl describe workloads` tells more; run again to queue anew",
        )  # fmt: skip
    reserved = condition(workload, "QuotaReserved")
    if reserved.get("status") == "True":
        text = f"has its place in the queue {queue}, which waits for its admission checks"
        return Problem(
            cause=Cause.QUEUED, text=text, since=since,
            remedy="`kubectl describe workloads` tells how they stand",
        )  # fmt: skip
    said = _told(workload, "QuotaReserved")
    return _unadmitted(queue, said, since) if said else _queued(queue, since)


def _told(workload: Thing, kind: str) -> str:
    """A condition's message without what says nothing to people."""
    return short(_POD_SET.sub("", str(condition(workload, kind).get("message") or "")))


def _unadmitted(queue: str, said: str, since: float | None) -> Problem:
    """What a queue's words mean: what passes by itself, and what does not."""
    if _NO_QUEUE.search(said):
        return Problem(
            cause=Cause.CONFIG, text=f"wants the LocalQueue {queue!r}, which is not there",
            remedy="make it, or correct `queue` of the site", since=since,
        )  # fmt: skip
    if _NOWHERE.search(said):
        return Problem(
            cause=Cause.CONFIG, text=f"waits for the queue {queue}, which leads nowhere: {said}",
            remedy="have it lead to a ClusterQueue that takes this namespace", since=since,
        )  # fmt: skip
    much = _TOO_MUCH.search(said)
    if much or _UNKNOWN.search(said):
        why = _too_much(much) if much else said
        return Problem(
            cause=Cause.REFUSED, text=f"is more than the queue {queue} ever admits: {why}",
            remedy="ask for less, or have the ClusterQueue's quota raised", since=since,
        )  # fmt: skip
    if _INACTIVE.search(said):
        remedy = "`kubectl describe clusterqueues,localqueues` tells who has stopped it, or why"
    else:
        remedy = "wait until other work has ended, or have the ClusterQueue's quota raised"
    text = f"waits for the queue {queue}: {said}"
    return Problem(cause=Cause.QUEUED, text=text, remedy=remedy, since=since)


def _too_much(found: re.Match[str]) -> str:
    asked = found["now"] if found["before"] == "0" else f"{found['before']}+{found['now']}"
    return f"it asks for {asked} {found['what']}, and flavor {found['flavor']} has {found['most']}"
