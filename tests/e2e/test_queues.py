"""A site whose work stands in a queue of Kueue, which the chart makes.

What is proved here: what computes is admitted, each thing once, and what leads it holds no place;
a queue that is full is waited for, and said with its reason by `status` and `why`; what would
never be admitted is said to be so; and a run that is cancelled while it waits leaves nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.running import Client, finish, until
from tests.e2e.serving import register
from tests.site import RELEASE, ROOT, SiteUnderTest, ready_site

from headrace.cluster.client import Cluster
from headrace.cluster.errors import ClusterProblem, NotThere
from headrace.cluster.problems import condition
from headrace.registry.needs import servable
from headrace.serving import deployed
from headrace.serving.offers import Scale

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.timeout(900)]

API = "/apis/kueue.x-k8s.io/v1beta2"
QUEUE = "team"
AMPLE = {"cpu": "8", "memory": "64Gi"}
ONE_STEP = {"cpu": "150m"}
"""Room for one plain step of the tests' defaults."""


@pytest.fixture(scope="module")
def site(
    kubernetes: Cluster, helm: str, images: Path, s3: Any
) -> Iterator[SiteUnderTest]:  # fmt: skip
    """A site with a queue; where there is no Kueue, the tests are skipped."""
    try:
        kubernetes.ask(API)
    except NotThere:
        pytest.skip("no Kueue: the cluster serves no kueue.x-k8s.io/v1beta2")
    values = {"queue": QUEUE, "kueue": {"create": True, "resources": AMPLE}}
    # Where Kueue looks after some namespaces only, this is the label that its documentation gives.
    labels = {"kueue-managed": "true"}
    name = f"headrace-queues-{os.getpid()}"
    with ready_site(kubernetes, helm, images, s3, name, values=values, labels=labels) as ready:
        yield ready
        subprocess.run([helm, "uninstall", RELEASE, "-n", name], capture_output=True, check=True)
    assert not [one for one in clusters_own(kubernetes) if name in one]


@pytest.fixture
def client(site: SiteUnderTest, tmp_path: Path) -> Client:
    return Client(site=site, home=tmp_path / "home")


@pytest.fixture
def quota(site: SiteUnderTest, helm: str) -> Iterator[Callable[..., None]]:
    """Changes what the queue has, which it is, or limits.pending; undone at the end."""

    def change(
        resources: dict[str, str], queue: str = QUEUE, create: bool = True, pending: int = 300
    ) -> None:
        kueue = {"create": create, "resources": {**AMPLE, **resources}}
        upgraded = subprocess.run(
            [helm, "upgrade", RELEASE, str(ROOT / "helm/headrace"), "--kube-context", site.context,
             "--namespace", site.namespace, "--reuse-values", "--values", "-", "--wait"],
            input=json.dumps({"queue": queue, "kueue": kueue, "limits": {"pending": pending}}),
            capture_output=True, text=True,
        )  # fmt: skip
        assert upgraded.returncode == 0, upgraded.stderr

    yield change
    change(AMPLE)


def clusters_own(cluster: Cluster) -> list[str]:
    """The names of Kueue's objects that are the whole cluster's."""
    return [
        one["metadata"]["name"]
        for kind in ("clusterqueues", "resourceflavors")
        for one in cluster.ask(f"{API}/{kind}")["items"]
    ]


@contextmanager
def workloads_of(site: SiteUnderTest) -> Iterator[dict[str, str]]:
    """Everything that the queue admits meanwhile: by the Workload's name, whose it is."""
    admitted: dict[str, str] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            with suppress(ClusterProblem):
                for one in site.cluster.list("workloads"):
                    if condition(one, "Admitted").get("status") == "True":
                        owner = one["metadata"]["ownerReferences"][0]
                        admitted[one["metadata"]["name"]] = owner["kind"]

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield admitted
    finally:
        over.set()
        thread.join()


def said(client: Client, *words: str, on: bool = True) -> str:
    """What a command writes, as if its lines had no end."""
    return " ".join(client.say(*words, on=on).split())


def left_over(site: SiteUnderTest) -> list[str]:
    """What runs and models have left, and what Kueue has made for them."""
    ours = [one for mark in ("run", "model") for one in site.objects(f"headrace.dev/{mark}")]
    return ours + [one["metadata"]["name"] for one in site.cluster.list("workloads")]


def cancelled(client: Client, run: subprocess.Popen[str]) -> None:
    """Cancel the run, after which nothing of it is there."""
    assert "Cancelled run" in client.say("cancel", "latest", on=False)
    assert finish(run).code == 130
    until(lambda: not left_over(client.site), 60, "nothing is left over")


def test_what_computes_is_admitted_once_and_what_leads_it_is_not_queued(client: Client) -> None:
    with workloads_of(client.site) as admitted:
        done = client.run("stages.py", "--no-cache")
    assert done.code == 0, done.errors
    assert set(done.states.values()) == {"succeeded"}
    # Two plain steps; the executors, but not their driver; the Ray cluster, but not its step.
    assert Counter(admitted.values()) == {"Job": 2, "Pod": 2, "RayJob": 1}, admitted
    until(lambda: not left_over(client.site), 60, "nothing is left over")


def test_a_full_queue_is_waited_for_and_says_why(
    client: Client, quota: Callable[..., None], tmp_path: Path
) -> None:
    quota(ONE_STEP, pending=5)  # far less than the second has to wait
    other = Client(site=client.site, home=tmp_path / "other")
    first = other.start("troubles.py:waits", "--no-cache", "-p", "seconds=45")
    until(lambda: client.site.cluster.list("pods", "headrace.dev/role=step"), 60, "the first runs")
    second = client.start("troubles.py:waits", "--no-cache", "-p", "seconds=1")
    why = "waits for the queue team: insufficient unused quota for cpu"
    until(lambda: why in said(client, "status", "latest", on=False), 60, "status says why")
    assert f"its Job {why}" in said(client, "why", "latest", on=False)
    noted = "its journal has it, and its display"
    until(lambda: any(why in str(one.get("text")) for one in client.events()), 20, noted)
    run = client.latest().run_id
    nobody = Client(site=client.site, home=tmp_path / "nobody")
    assert why in said(nobody, "status", run)
    # The reaper, and whoever else clears up, knows nothing of the client.
    assert f"keep {run}: it is at work" in nobody.say("clean", "--dry-run")
    assert [finish(one).code for one in (first, second)] == [0, 0]
    until(lambda: not left_over(client.site), 60, "nothing is left over")


def test_executors_that_wait_go_with_a_run_that_is_cancelled(
    client: Client, quota: Callable[..., None]
) -> None:
    run = client.start("stages.py", "--no-cache")
    executors = "headrace.dev/role=spark-executor"
    until(lambda: "prepare" in said(client, "status", "latest", on=False), 60, "Spark's step began")
    quota({"memory": "100Mi"})
    until(lambda: client.site.cluster.list("pods", executors), 120, "there are executors")
    why = "is more than the queue team ever admits: it asks for 1084Mi memory"
    until(lambda: why in said(client, "why", "latest", on=False), 60, "why says what is wrong")
    cancelled(client, run)


def test_a_ray_cluster_that_no_queue_would_admit_is_said_to_be_too_large(
    client: Client, quota: Callable[..., None]
) -> None:
    quota({"memory": "4Gi"})  # the head has 3Gi, and two workers 2Gi each
    run = client.start("climbing.py", "--no-cache")
    why = "its RayJob is more than the queue team ever admits: it asks for 3Gi+4Gi memory"
    until(lambda: why in said(client, "why", "latest", on=False), 90, "why says what is wrong")
    cancelled(client, run)


def test_a_queue_that_is_not_there(client: Client, quota: Callable[..., None]) -> None:
    assert "team admits what computes" in client.say("doctor")
    quota({}, queue="nowhere", create=False)
    assert "there is no LocalQueue 'nowhere'" in client.say("doctor")
    run = client.start("troubles.py:waits", "--no-cache")
    why = "its Job wants the LocalQueue 'nowhere', which is not there"
    until(lambda: why in said(client, "why", "latest", on=False), 60, "why says what is wrong")
    cancelled(client, run)


def test_a_served_model_is_admitted(site: SiteUnderTest, tmp_path: Path) -> None:
    register(tmp_path, site.mlflow, "flights", 1)
    scale = Scale(replicas=1, max_replicas=1, cpu="50m", memory="600Mi")
    with workloads_of(site) as admitted:
        found = servable(site.mlflow, "flights", "1")
        deployed.serve(site.cluster, site.site, found, alias="", scale=scale, tell=print)
        deployed.stop(site.cluster, "flights")
    assert list(admitted.values()) == ["Pod"]
    until(lambda: not left_over(site), 60, "nothing is left over")
