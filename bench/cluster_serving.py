"""Headrace's server in a pod: predictions per second from another pod, and how long it takes.

    python bench/cluster_serving.py --on CONTEXT -n NAMESPACE [--clients 8] [--rounds 9]

The model and the clients of bench/serving.py. The model is registered in the site's MLflow and
rolled out with one replica; the clients run in a pod of their own and go by way of the Service.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring import machine

from headrace.cluster import pods
from headrace.cluster.client import Cluster
from headrace.cluster.contexts import connect
from headrace.cluster.forwarding import forward, reach
from headrace.registry.context import Context
from headrace.registry.needs import servable
from headrace.registry.registering import register_model
from headrace.serving import deployed
from headrace.serving.offers import Scale
from headrace.sites.cluster import Site, discover
from headrace.sites.home import Home

NAME = "bench-serving"
HERE = Path(__file__).resolve().parent
CLIENTS = f"{NAME}-clients"


def register(tracking_uri: str) -> None:
    """The model of bench/serving.py, as version 1."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        save = [sys.executable, str(HERE / "serving.py"), "--save", str(model)]
        subprocess.run(save, check=True, capture_output=True)
        home = Home(root=Path(folder))
        context = Context(tracking_uri=tracking_uri, home=home, run="", step="", pipeline="")
        register_model(model, NAME, context=context)


@contextmanager
def served(cluster: Cluster, site: Site, scale: Scale) -> Iterator[tuple[str, float]]:
    """Roll the model out, and take it away at the end; its Service and the seconds it took."""
    with reach(cluster, site.mlflow.url, site.mlflow.client_url) as tracking_uri:
        register(tracking_uri)
        version = servable(tracking_uri, NAME, 1)
    began = time.monotonic()
    try:
        made = deployed.serve(
            cluster, site, version, alias="", scale=scale,
            tell=lambda line: print(line, file=sys.stderr, flush=True),
        )  # fmt: skip
        yield made.service, time.monotonic() - began
    finally:
        deployed.stop(cluster, NAME)


def ask(cluster: Cluster, image: str, arguments: list[str]) -> dict[str, Any]:
    """Run the clients in a pod; what they print."""
    command = ["python", "-c", (HERE / "clients.py").read_text(), *arguments]
    cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": CLIENTS},
            "spec": {
                "restartPolicy": "Never",
                "securityContext": pods.pod_security(),
                "volumes": pods.volumes(),
                "containers": [
                    {
                        "name": "clients",
                        "image": image,
                        "command": command,
                        "resources": pods.resources("100m", "500Mi"),
                        "securityContext": pods.container_security(),
                        "volumeMounts": pods.mounts(),
                    }
                ],
            },
        }
    )
    try:
        while (cluster.get("pods", CLIENTS) or {})["status"]["phase"] in ("Pending", "Running"):
            time.sleep(1)
        lines = list(cluster.logs(CLIENTS))
        told: dict[str, Any] = json.loads(lines[-1])
        return told
    finally:
        cluster.delete("pods", CLIENTS, grace=1)
        while cluster.get("pods", CLIENTS) is not None:
            time.sleep(1)


def resident(cluster: Cluster, service: str) -> float:
    """MiB that the server says it holds."""
    import urllib.request

    with (
        forward(cluster, service, 80) as address,
        urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer,
    ):
        found = re.search(r"^process_resident_memory_bytes (\S+)$", answer.read().decode(), re.M)
    assert found is not None
    return float(found[1]) / 2**20


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", required=True, help="the kubeconfig's context")
    parser.add_argument("-n", "--namespace", default="")
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--cpu", default="500m")
    asked = parser.parse_args()
    cluster = connect(asked.on, asked.namespace)
    site = discover(cluster)
    scale = Scale(replicas=1, max_replicas=1, cpu=asked.cpu, memory="2Gi")
    numbers = [str(asked.clients), str(asked.seconds), str(asked.rounds)]
    with served(cluster, site, scale) as (service, seconds):
        print(f"{machine()}; {asked.clients} clients in a pod, one row each")
        print(f"rolled out in {seconds:.1f} s")
        for path in ("/invocations", f"/v2/models/{NAME}/infer"):
            told = ask(cluster, site.images["python"], [service, "80", path, *numbers])
            print(
                f"{path:34}{statistics.median(told['rounds']):8,.0f} a second, p50 "
                f"{told['p50']:.2f} ms, p99 {told['p99']:.2f} ms; rounds "
                f"{[round(one) for one in told['rounds']]}"
            )
        print(f"{resident(cluster, service):.0f} MiB resident")


if __name__ == "__main__":
    main()
