"""Which runs count as at work when a site is cleared up."""

from headrace.cluster.client import Cluster
from headrace.data.store import Store
from headrace.operating.stocktaking import take_stock


class Jobs(Cluster):
    """A cluster with Jobs, and nothing else."""

    def __init__(self, **jobs):
        object.__setattr__(self, "jobs", jobs)

    def list(self, kind, selector="", *, fields=""):
        return [
            {
                "metadata": {"name": run, "labels": {"headrace.dev/run": run}, **meta},
                "status": {"conditions": [{"type": one, "status": "True"} for one in conditions]},
            }
            for run, (meta, *conditions) in (self.jobs.items() if kind == "jobs" else ())
        ]  # fmt: skip


class Empty(Store):
    """A store without anything."""

    def __init__(self):
        object.__setattr__(self, "nothing", {})

    def uri(self, *parts):
        return "/".join(parts)

    def listing(self, uri):
        return {}


def test_a_job_that_has_no_pod_yet_keeps_its_run_at_work():
    """It stands in a queue, or finds no room in a quota; its client is another machine's."""
    cluster = Jobs(
        queued=({}, "Suspended"), refused=({},), done=({}, "Complete"), failed=({}, "Failed"),
        leaving=({"deletionTimestamp": "2026-11-27T20:00:00Z"},),
    )  # fmt: skip
    found = take_stock(cluster, Empty(), is_run=lambda name: True)
    assert found.active == {"queued", "refused"}
