"""Ray steps on a RayCluster that stays, which the chart makes: quick, confined, and cleared up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
from tests.e2e.running import Client, finish, until
from tests.site import RELEASE, ROOT, SiteUnderTest

from headrace.cluster.forwarding import forward
from headrace.engines.ray_dashboard import Dashboard

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.timeout(900)]

WARM = {
    "name": "warm", "create": True, "workers": 2,
    "resources": {
        "head": {"cpu": "100m", "memory": "3Gi"}, "worker": {"cpu": "200m", "memory": "2Gi"},
    },
}  # fmt: skip
NODES = "ray.io/cluster=warm"
PIPELINE = "climbing.py"


def upgrade(helm: str, site: SiteUnderTest, values: dict[str, object]) -> None:
    done = subprocess.run(
        [helm, "upgrade", RELEASE, str(ROOT / "helm/headrace"), "--kube-context", site.context,
         "--namespace", site.namespace, "--reuse-values", "--values", "-", "--wait"],
        input=json.dumps({"rayCluster": values}), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def warm(site: SiteUnderTest, helm: str) -> Iterator[SiteUnderTest]:
    """The site with a cluster that is ready."""
    upgrade(helm, site, WARM)
    until(lambda: len(ready(site)) == 3, 300, "the RayCluster is ready")
    until(lambda: state(site) == "ready", 60, "KubeRay says so")
    yield site
    upgrade(helm, site, {"name": "", "create": False})
    until(lambda: not site.cluster.list("pods", NODES), 120, "the RayCluster is gone")


@pytest.fixture
def client(warm: SiteUnderTest, tmp_path) -> Client:
    return Client(site=warm, home=tmp_path)


def state(site: SiteUnderTest) -> str:
    return ((site.cluster.get("rayclusters", "warm") or {}).get("status") or {}).get("state", "")


def ready(site: SiteUnderTest) -> list[str]:
    """The cluster's pods that are ready, the head first."""
    found = [
        (one["metadata"]["labels"]["ray.io/node-type"], one["metadata"]["name"])
        for one in site.cluster.list("pods", NODES)
        if "deletionTimestamp" not in one["metadata"]
        and any(
            (c["type"], c["status"]) == ("Ready", "True")
            for c in one.get("status", {}).get("conditions", [])
        )
    ]
    return [name for _, name in sorted(found)]


def jobs(site: SiteUnderTest) -> list[str]:
    """The jobs that Ray has at work or is about to; it keeps records of others for a while."""
    with forward(site.cluster, "warm-head-svc", 8265) as address:
        host, _, port = address.partition(":")
        found = Dashboard(host=host, port=int(port)).jobs()
    return [one["submission_id"] for one in found if one["status"] in ("RUNNING", "PENDING")]


def heights(client: Client) -> list[float]:
    return [one["metrics"]["height"] for one in client.events() if one["type"] == "step_metric"]


def test_it_runs_there_as_here_and_leaves_no_job(client):
    here = client.run(PIPELINE, on=False)
    nodes = ready(client.site)
    there = client.run(PIPELINE, "--new", "--no-cache")
    assert there.code == 0, there.errors
    assert there.said["outputs"] == here.said["outputs"] == {"Output": [1, 2, 3]}
    assert [one.said["steps"][0]["outputs"]["peak"] for one in (here, there)] == [3, 3]
    assert client.site.cluster.list("rayjobs") == []
    until(lambda: not jobs(client.site), 30, "no job is at work")
    assert ready(client.site) == nodes
    for source in ("driver", "ray"):  # the step's own log has all lines, each worker's its own
        log = client.say("logs", there.said["run"], "climb", "--source", source, on=False)
        said = [one[-len("rank 0 is up") :] for one in log.splitlines() if one.endswith(" is up")]
        assert sorted(said) == ["rank 0 is up", "rank 1 is up"], source


def test_a_worker_that_is_lost_is_replaced(client):
    run = client.start(PIPELINE, "--no-cache", "-p", "epochs=8", "-p", "seconds=3")
    until(lambda: 2 in heights(client), 120, "the second epoch is over")
    client.site.cluster.delete("pods", ready(client.site)[-1], grace=0)
    done = finish(run)
    assert done.code == 0, done.errors
    [climbed] = done.said["outputs"].values()
    assert climbed[-1] == 8
    assert climbed[0] > 2  # on the workers that were begun again
    until(lambda: len(ready(client.site)) == 3, 120, "the cluster is whole again")
    until(lambda: not jobs(client.site), 30, "no job is at work")


def test_a_step_that_is_gone_takes_its_job_with_it_and_the_next_one_goes_on(client):
    options = ("-p", "epochs=6", "-p", "seconds=4")  # without a cache there is no going on
    run = client.start(PIPELINE, *options)
    until(lambda: 2 in heights(client), 120, "the second epoch is over")
    [step] = client.site.cluster.list("pods", "headrace.dev/role=step,headrace.dev/step=climb")
    client.site.cluster.delete("pods", step["metadata"]["name"], grace=0)
    assert finish(run).code == 1
    until(lambda: not jobs(client.site), 60, "no job is at work")
    again = client.run(PIPELINE, *options)
    assert again.code == 0, again.errors
    [climbed] = again.said["outputs"].values()
    assert (climbed[0] > 1, climbed[-1]) == (True, 6)


def test_two_at_once_take_turns(client):
    options = ("--no-cache", "-p", "seconds=2")
    runs = [client.start(PIPELINE, *options, "-p", f"epochs={4 + one}") for one in range(2)]
    done = [finish(run) for run in runs]
    assert [one.code for one in done] == [0, 0], [one.errors for one in done]
    until(lambda: not jobs(client.site), 30, "no job is at work")


def test_two_of_the_same_do_not_share_checkpoints(client, tmp_path):
    options = ("-p", "seconds=2", "-p", "epochs=7")
    clients = [client, Client(site=client.site, home=tmp_path / "another")]
    runs = [one.start(PIPELINE, *options) for one in clients]
    done = [finish(run) for run in runs]
    assert [one.code for one in done] == [0, 0], [one.errors for one in done]
    assert [one.said["outputs"] for one in done] == [{"Output": [*range(1, 8)]}] * 2
    notes = [
        one["text"]
        for client in clients
        for one in client.events()
        if one["type"] == "step_note" and "elsewhere" in one["text"]
    ]
    assert notes == ["the same training is under way elsewhere: this one starts from the beginning"]
    assert client.site.cluster.list("configmaps", "headrace.dev/role=ray-claim") == []
