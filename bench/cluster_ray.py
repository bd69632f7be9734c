"""A Ray step on a cluster against a RayJob written by hand that trains the same network.

    python bench/cluster_ray.py CONTEXT NAMESPACE [ROUNDS]

The namespace is a site. Both ways get the same image, the same requests and the same store, and
take turns. Told are the seconds from the RayJob's creation until its training is done and known:
for the manifest until its status says so, for the step until its result is in the store. Of the
step also the whole: from the Job of its pod until the run is over.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from headrace.cluster.client import Cluster
from headrace.cluster.contexts import connect
from headrace.engines import ray_kubernetes
from headrace.sites.cluster import Resources, Site, discover

HEADRACE = str(Path(sys.executable).with_name("headrace"))
LOOP = """
def train(epochs: int = 5):
    import tempfile
    from pathlib import Path

    import ray.train
    import ray.train.torch
    import torch

    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows = torch.randn(4096, 32)
    truth = rows.sum(1, keepdim=True)
    network = ray.train.torch.prepare_model(torch.nn.Linear(32, 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for epoch in range(epochs):
        loss = ((network(rows[rank::size]) - truth[rank::size]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if rank == 0:
                torch.save(network.state_dict(), Path(folder, "state.pt"))
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report({"loss": float(loss)}, checkpoint=checkpoint)
"""
STEPS = "import headrace as hr\n" + LOOP.replace("def train", "@hr.ray(workers=2)\ndef train")
PIPELINE = """
from kfp import dsl

import steps


@dsl.pipeline(name="bench-ray")
def main():
    steps.train()
"""
SCRIPT = f"""
import os

import pyarrow.fs
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
{LOOP}
store = pyarrow.fs.S3FileSystem(
    endpoint_override=os.environ["STORE"], scheme=os.environ["SCHEME"], region="us-east-1"
)
TorchTrainer(
    lambda: train(),
    scaling_config=ScalingConfig(num_workers=2),
    run_config=RunConfig(
        name="bench", storage_path=os.environ["CHECKPOINTS"], storage_filesystem=store,
        failure_config=FailureConfig(max_failures=2),
        checkpoint_config=CheckpointConfig(num_to_keep=1),
    ),
).fit()
"""


def by_hand(name: str, site: Site) -> dict[str, Any]:
    """The manifest that one would write after KubeRay's own examples."""
    scheme, _, host = site.store.endpoint.partition("://")
    where = f"{site.store.url.removeprefix('s3://')}/bench/{name}"
    plain = {"STORE": host, "SCHEME": scheme, "CHECKPOINTS": where}
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    secret = [
        {"name": one, "valueFrom": {"secretKeyRef": {"name": site.store.secret, "key": one}}}
        for one in keys
    ]
    variables = [{"name": one, "value": value} for one, value in plain.items()] + secret

    def template(role: str, asks: Resources) -> dict[str, Any]:
        mount = {"name": "job", "mountPath": "/opt/job"}
        container = {
            "name": role, "image": site.images["ray"], "env": variables,
            "volumeMounts": [mount],
            "resources": {
                "requests": {"cpu": asks.cpu, "memory": asks.memory},
                "limits": {"memory": asks.memory},
            },
        }  # fmt: skip
        volume = {"name": "job", "configMap": {"name": "bench-ray"}}
        return {"spec": {"containers": [container], "volumes": [volume]}}

    head = site.defaults.get(ray_kubernetes.HEAD, ray_kubernetes.HEAD_RESOURCES)
    worker = site.defaults.get(ray_kubernetes.WORKER, Resources(cpu="1", memory="2Gi"))
    return {
        "apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": name},
        "spec": {
            "submissionMode": "HTTPMode", "entrypoint": "python /opt/job/train.py",
            "shutdownAfterJobFinishes": True,
            "rayClusterSpec": {
                "rayVersion": site.versions["ray"],
                "headGroupSpec": {
                    "rayStartParams": {"num-cpus": "0"}, "template": template("ray-head", head),
                },
                "workerGroupSpecs": [{
                    "groupName": "workers", "replicas": 2, "minReplicas": 2, "maxReplicas": 2,
                    "rayStartParams": {"num-cpus": "1"}, "template": template("ray-worker", worker),
                }],
            },
        },
    }  # fmt: skip


def run_by_hand(cluster: Cluster, site: Site, name: str) -> float:
    """Seconds from creation to the status that says it is done; cleared away afterwards."""
    began = time.monotonic()
    cluster.create(by_hand(name, site))
    try:
        while True:
            status = (cluster.get("rayjobs", name) or {}).get("status") or {}
            if status.get("jobDeploymentStatus") in ("Complete", "Failed"):
                break
            time.sleep(0.2)
        seconds = time.monotonic() - began
        if status.get("jobStatus") != "SUCCEEDED":
            sys.exit(f"{name}: {json.dumps(status)[:2000]}")
        return seconds
    finally:
        cluster.delete("rayjobs", name)
        until_gone(cluster)


def run_step(cluster: Cluster, project: Path, home: Path) -> tuple[float, float]:
    """Seconds of the RayJob, from its creation until it is removed, and of the whole run."""
    command = [HEADRACE, "run", str(project), "--on", cluster.context, "-n", cluster.namespace,
               "--direct", "--new", "--no-cache", "--quiet", "--home", str(home)]  # fmt: skip
    began = time.monotonic()
    made = removed = 0.0
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while run.poll() is None:
        there = bool(cluster.list("rayjobs"))
        made = made or (time.monotonic() if there else 0.0)
        removed = removed or (time.monotonic() if made and not there else 0.0)
        time.sleep(0.2)
    if run.returncode:
        sys.exit(f"{' '.join(command)} ended with {run.returncode}")
    whole = time.monotonic() - began
    until_gone(cluster)
    return removed - made, whole


def until_gone(cluster: Cluster) -> None:
    """Wait until no pod of a Ray cluster is left: the next round begins with free cores."""
    while cluster.list("pods", "ray.io/is-ray-node=yes"):
        time.sleep(0.5)


def main(context: str, namespace: str, rounds: int) -> None:
    """Take turns, and tell the medians."""
    cluster = connect(context, namespace)
    site = discover(cluster)
    cluster.apply({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bench-ray"},
        "data": {"train.py": SCRIPT},
    })  # fmt: skip
    hand, step, whole = [], [], []
    try:
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder, "project")
            project.mkdir()
            (project / "steps.py").write_text(STEPS)
            (project / "pipeline.py").write_text(PIPELINE)
            for number in range(rounds):
                hand.append(run_by_hand(cluster, site, f"bench-by-hand-{number}"))
                seconds, all_of_it = run_step(cluster, project, Path(folder, "home"))
                step.append(seconds)
                whole.append(all_of_it)
                print(f"{number}: by hand {hand[-1]:.1f} s, step {seconds:.1f} s, "
                      f"run {all_of_it:.1f} s")  # fmt: skip
    finally:
        cluster.delete("configmaps", "bench-ray")
    ratio = statistics.median(step) / statistics.median(hand)
    print(f"medians: by hand {statistics.median(hand):.1f} s, step {statistics.median(step):.1f} s "
          f"({ratio:.2f} of it), run {statistics.median(whole):.1f} s")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 3)
