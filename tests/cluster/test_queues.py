"""What Kueue (0.17) says of what it has not admitted, and what we make of it."""

import pytest

from headrace.cluster import queues
from headrace.cluster.client import Cluster
from headrace.cluster.diagnosis import Cause, of_job
from headrace.cluster.errors import Forbidden

FLAVOR = "headrace-team"


def workload(said="", *, owner="u1", active=True, **conditions):
    """A Workload that has not been admitted, and why."""
    told = {"QuotaReserved": ("False", said), **conditions} if said else conditions
    return {
        "metadata": {
            "name": "w", "creationTimestamp": "2026-11-27T20:00:00Z",
            "ownerReferences": [{"uid": owner}],
        },
        "spec": {"queueName": "team", "active": active},
        "status": {
            "conditions": [
                {"type": kind, "status": status, "message": text}
                for kind, (status, text) in told.items()
            ]
        },
    }  # fmt: skip


class Told(Cluster):
    """A cluster that has what it is given."""

    def __init__(self, workloads=(), job=None):
        object.__setattr__(self, "things", (workloads, job))

    def list(self, kind, selector="", *, fields=""):
        found = self.things[0] if kind == "workloads" else []
        if isinstance(found, Exception):
            raise found
        return list(found)

    def get(self, kind, name):
        return self.things[1]


@pytest.mark.parametrize(
    ("said", "cause", "text"),
    [
        (
            "couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor "
            "headrace-team, 50m more needed",
            Cause.QUEUED,
            "waits for the queue team: insufficient unused quota for cpu in flavor headrace-team, "
            "50m more needed",
        ),
        (
            "couldn't assign flavors to pod set main: insufficient quota for cpu in flavor "
            "headrace-team, previously considered podsets requests (0) + current podset request "
            "(640) > maximum capacity (150m)",
            Cause.REFUSED,
            "is more than the queue team ever admits: it asks for 640 cpu, and flavor "
            "headrace-team has 150m",
        ),
        (
            "couldn't assign flavors to pod set workers: insufficient quota for memory in flavor "
            "headrace-team, previously considered podsets requests (3Gi) + current podset request "
            "(4Gi) > maximum capacity (4Gi)",
            Cause.REFUSED,
            "is more than the queue team ever admits: it asks for 3Gi+4Gi memory, and flavor "
            "headrace-team has 4Gi",
        ),
        (
            "couldn't assign flavors to pod set main: resource nvidia.com/gpu unavailable in "
            "ClusterQueue",
            Cause.REFUSED,
            "is more than the queue team ever admits: resource nvidia.com/gpu unavailable in "
            "ClusterQueue",
        ),
        (
            "LocalQueue team doesn't exist",
            Cause.CONFIG,
            "wants the LocalQueue 'team', which is not there",
        ),
        (
            "ClusterQueue all doesn't exist",
            Cause.CONFIG,
            "waits for the queue team, which leads nowhere: ClusterQueue all doesn't exist",
        ),
        (
            "Workload namespace doesn't match ClusterQueue selector",
            Cause.CONFIG,
            "waits for the queue team, which leads nowhere: Workload namespace doesn't match "
            "ClusterQueue selector",
        ),
        (
            "LocalQueue team is inactive",
            Cause.QUEUED,
            "waits for the queue team: LocalQueue team is inactive",
        ),
        ("", Cause.QUEUED, "waits for the queue team"),
    ],
)
def test_what_passes_by_itself_and_what_does_not(said, cause, text):
    found = queues.problem_of(workload(said))
    assert found is not None
    assert (found.cause, found.text, found.since) == (cause, text, 1795809600.0)
    assert found.remedy


def test_what_is_admitted_or_over_waits_for_nothing():
    assert queues.problem_of(workload(Admitted=("True", ""))) is None
    assert queues.problem_of(workload(Finished=("True", ""))) is None


def test_a_place_that_waits_for_checks_and_one_that_was_taken():
    checked = queues.problem_of(workload(QuotaReserved=("True", "")))
    assert checked is not None and "waits for its admission checks" in checked.text
    out = queues.problem_of(workload(active=False, Evicted=("True", "Exceeded the limit")))
    assert out is not None
    assert (out.cause, out.text) == (
        Cause.REFUSED, "was put out of the queue team: Exceeded the limit",
    )  # fmt: skip


def job(**spec):
    suspended = {"type": "Suspended", "status": "True", "lastTransitionTime": None}
    return {
        "metadata": {"name": "j", "uid": "u1", "labels": {"kueue.x-k8s.io/queue-name": "team"}},
        "spec": {"suspend": True, **spec},
        "status": {"conditions": [suspended]},
    }


def test_a_job_says_what_its_own_workload_says():
    others = workload("LocalQueue team doesn't exist", owner="u2")
    found = of_job(Told([others, workload("ClusterQueue x is inactive")], job()), "j")
    assert found is not None
    assert found.text == "waits for the queue team: ClusterQueue x is inactive"


@pytest.mark.parametrize("workloads", [[], Forbidden("no")])
def test_without_a_workload_to_be_seen_it_says_where_it_waits(workloads):
    found = of_job(Told(workloads, job()), "j")
    assert found is not None
    assert (found.cause, found.text) == (Cause.QUEUED, "waits for the queue team")


def test_a_job_that_was_put_back_has_lost_its_place():
    pod = {"metadata": {"name": "p"}, "status": {"phase": "Failed"}}
    evicted = workload(Evicted=("True", "Preempted to accommodate a workload"))
    found = of_job(Told([evicted], job()), "j", pod)
    assert found is not None
    assert (found.cause, found.text) == (
        Cause.PREEMPTED, "lost its place in the queue team: Preempted to accommodate a workload",
    )  # fmt: skip
    assert of_job(Told([], job(suspend=False)), "j", pod) is None
