"""A site of our own on the cluster of the current context, made for these tests and removed after.

Images come from the values file that HEADRACE_IMAGES names, or are built where a testbed stands
beside the checkout; an image that is there already is not built again. The store is the one that
AWS_ENDPOINT_URL names; HEADRACE_TEST_S3 says how pods reach it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from headrace.cluster.client import Cluster
from headrace.cluster.contexts import connect, current_context
from headrace.cluster.errors import ClusterProblem
from headrace.cluster.forwarding import forward
from headrace.core.errors import HeadraceError
from headrace.data.store import Store, store_of
from headrace.sites.cluster import Site, discover

ROOT = Path(__file__).parents[1]
TESTBED = ROOT.parent / "shared/testbed/testbed"
RELEASE = "headrace"
# Said before the tests' own environment is cleaned.
IMAGES = os.environ.get("HEADRACE_IMAGES", "")
S3_FOR_PODS = os.environ.get("HEADRACE_TEST_S3", "http://s3.testbed:9000")
BASE = "python:3.12-slim-bookworm"
BUILT = pytest.StashKey[tuple[Path, str]]()
OF_THE_CHART = ("Helm",)
DEFAULTS = {
    "python": {"cpu": "100m", "memory": "1Gi"},
    "spark": {"cpu": "100m", "memory": "2Gi"},
    "spark-executor": {"cpu": "200m", "memory": "1Gi"},
    "ray": {"cpu": "100m", "memory": "1Gi"},
    "ray-head": {"cpu": "100m", "memory": "3Gi"},
    "ray-worker": {"cpu": "200m", "memory": "2Gi"},
}
"""What steps ask for, so that a Ray cluster finds room on two cores."""
GONE_WITHIN = 60.0


@dataclass(frozen=True, kw_only=True)
class SiteUnderTest:
    """An installed site."""

    context: str
    """The kubeconfig's context."""
    namespace: str
    """The site's namespace, of this test session alone."""
    kubeconfig: str
    """The kubeconfig's path."""
    cluster: Cluster = field(repr=False)
    """The cluster, in the namespace."""
    site: Site
    """What its ConfigMap says."""
    store: Store
    """Its store, as this machine reaches it."""
    mlflow: str
    """MLflow's URL, as this machine reaches it."""
    values: Path
    """The images' names and versions, as the chart takes them."""
    baseline: frozenset[str] = frozenset()
    """What was there when the site was ready."""

    def objects(self, selector: str = "") -> list[str]:
        """Every object in the namespace that has a name of its own, as `KIND/NAME`.

        What is about to go counts until it is gone.
        """
        return everything(self.cluster, selector)

    def of_run(self, run: str) -> list[str]:
        """The objects that carry a run's label."""
        return self.objects(f"headrace.dev/run={run}")

    def left_over(self) -> list[str]:
        """What is there beyond the chart's own objects and what was there before."""
        return [one for one in self.objects() if one not in self.baseline]


def current_cluster() -> Cluster:
    """The cluster of the current context.

    Raises:
        HeadraceError: There is none, or it does not answer.
    """
    found = connect(current_context())
    found.ask("/version")
    return found


@pytest.fixture(scope="session")
def kubernetes() -> Cluster:
    """The cluster of the current context; without one, the test is skipped."""
    try:
        return current_cluster()
    except HeadraceError as error:
        pytest.skip(f"no cluster: {error.what}")


@pytest.fixture(scope="session")
def helm() -> str:
    """Helm's path."""
    found = shutil.which("helm")
    if found is None:
        pytest.skip("helm is not on the PATH")
    return found


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build images before any test begins: no test's time limit is meant for that."""
    # A case of the conformance suite asks for the site by its `place`, when it runs.
    wanted = any(
        {"images", "place"} & set(getattr(one, "fixturenames", ()))
        for one in session.items
        if one.get_closest_marker("cluster")
    )
    if not wanted or session.config.option.collectonly or IMAGES or not TESTBED.exists():
        return
    with suppress(HeadraceError):
        current_cluster()
        session.config.stash[BUILT] = built_images()


@pytest.fixture(scope="session")
def images(kubernetes: Cluster, request: pytest.FixtureRequest) -> Path:
    """A values file with images that the cluster can pull."""
    if IMAGES:
        return Path(IMAGES).resolve()
    values, complaint = request.config.stash.get(BUILT, (None, ""))
    if complaint:
        pytest.fail(complaint)
    if values is None:
        pytest.skip("no images: build them with images/build.py --values FILE and set "
                    "HEADRACE_IMAGES=FILE")  # fmt: skip
    return values


def built_images() -> tuple[Path, str]:
    """Build for the testbed's registry what it lacks, which the very first time takes long.

    Returns:
        The values file, and what went wrong, if anything did.
    """
    folder = Path(tempfile.mkdtemp(prefix="headrace-images-"))
    values = folder / "values.yaml"
    commands = [
        [sys.executable, str(ROOT / "images/build.py"), "--tool", "buildah",
         "--registry", "10.89.0.1:5000", "--insecure", "--push", "--build-flags=--network=host",
         "--pull-prefix", "registry.testbed", "--values", str(values)],
    ]  # fmt: skip
    there = subprocess.run(["buildah", "images", "--quiet", BASE], capture_output=True)
    if there.returncode:  # the testbed makes its stand-in for the base with its first build
        (folder / "Dockerfile").write_text(f"FROM {BASE}\n")
        commands.insert(0, [str(TESTBED), "build", "headrace/base:1", str(folder)])
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            return values, f"{' '.join(command)} failed:\n{said}"
    return values, ""


@pytest.fixture(scope="session")
def s3() -> Any:
    """A client of the store; without a store, the test is skipped."""
    if not os.environ.get("AWS_ENDPOINT_URL"):
        pytest.skip("no store: set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY")
    import boto3
    from botocore.config import Config

    path_style = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2})
    client = boto3.client("s3", config=path_style)
    try:
        client.list_buckets()
    except Exception as error:
        pytest.skip(f"no store: {error}")
    return client


@pytest.fixture(scope="session")
def site(kubernetes: Cluster, helm: str, images: Path, s3: Any) -> Iterator[SiteUnderTest]:
    """A site that is ready: chart installed, MLflow answering, bucket empty."""
    with ready_site(kubernetes, helm, images, s3, f"headrace-e2e-{os.getpid()}") as ready:
        yield ready


@contextmanager
def ready_site(
    kubernetes: Cluster, helm: str, images: Path, s3: Any, name: str,
    *, values: dict[str, Any] | None = None, labels: dict[str, str] | None = None,
) -> Iterator[SiteUnderTest]:  # fmt: skip
    """A site of a name, gone at the end.

    Args:
        kubernetes: The cluster.
        helm: Helm's path.
        images: The images' values.
        s3: A client of the store.
        name: The namespace's name, and the bucket's.
        values: More of the chart's values.
        labels: The namespace's labels.
    """
    with ExitStack() as undo:
        undo.enter_context(bucket(s3, name))
        cluster = undo.enter_context(namespace(kubernetes, name, labels))
        # One process of MLflow's is quicker to start, and enough for one test at a time.
        own = {**store_values(f"s3://{name}/site"), "mlflow": {"workers": 1}}
        install(helm, cluster, images, own | (values or {}))
        found = discover(cluster)
        address = undo.enter_context(forward(cluster, "headrace-mlflow", 5000))
        ready = SiteUnderTest(
            context=cluster.context, namespace=name, kubeconfig=os.environ.get("KUBECONFIG", ""),
            cluster=cluster, site=found, store=store_of(found.store, outside=True),
            mlflow=f"http://{address}", values=images,
        )  # fmt: skip
        yield replace(ready, baseline=frozenset(ready.objects()))


@contextmanager
def bucket(s3: Any, name: str) -> Iterator[str]:
    """A bucket, empty at first and gone at the end with all that is in it."""
    s3.create_bucket(Bucket=name)
    try:
        yield name
    finally:
        empty(s3, name)
        s3.delete_bucket(Bucket=name)


def empty(s3: Any, name: str) -> None:
    """Delete everything in a bucket."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        for one in page.get("Contents", []):
            s3.delete_object(Bucket=name, Key=one["Key"])


@contextmanager
def namespace(
    kubernetes: Cluster, name: str, labels: dict[str, str] | None = None
) -> Iterator[Cluster]:
    """A namespace, gone at the end with all that is in it."""
    with namespaces(kubernetes, name, labels=labels) as [made]:
        yield made


@contextmanager
def namespaces(
    kubernetes: Cluster, *names: str, labels: dict[str, str] | None = None
) -> Iterator[list[Cluster]]:
    """Several of them, which go at once: a namespace takes its time to."""
    made = []
    try:
        for name in names:
            kubernetes.ask(
                "/api/v1/namespaces", method="POST",
                body={
                    "apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": name, "labels": labels or {}},
                },
            )  # fmt: skip
            made.append(replace(kubernetes, namespace=name))
        yield made
    finally:
        for one in made:
            kubernetes.ask(f"/api/v1/namespaces/{one.namespace}", method="DELETE")
        until = time.monotonic() + GONE_WITHIN
        for one in made:
            while kubernetes.get("namespaces", one.namespace) and time.monotonic() < until:
                time.sleep(0.5)
            set_free(kubernetes, one.namespace)


def set_free(kubernetes: Cluster, namespace: str) -> None:
    """Give folders of this machine back that a namespace has held as volumes, empty.

    A cluster that provisions volumes has removed its own by then.
    """
    for one in kubernetes.list("persistentvolumes"):
        held = one["spec"].get("claimRef", {}).get("namespace") == namespace
        folder = Path(one["spec"].get("hostPath", {}).get("path", ""))
        if held and TESTBED.exists() and folder.is_absolute():
            for left in folder.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            free = {"spec": {"claimRef": None}}
            kubernetes.patch("persistentvolumes", one["metadata"]["name"], free)


def store_values(url: str) -> dict[str, Any]:
    """The chart's values for the store of the tests."""
    return {
        "store": {
            "url": url,
            "endpoint": S3_FOR_PODS,
            "clientEndpoint": os.environ["AWS_ENDPOINT_URL"],
            "accessKeyId": os.environ["AWS_ACCESS_KEY_ID"],
            "secretAccessKey": os.environ["AWS_SECRET_ACCESS_KEY"],
        },
        "defaults": DEFAULTS,
        "limits": {"keep": 20},
        **({"kuberayNamespace": "testbed"} if TESTBED.exists() else {}),
        # Nobody else is to clear away what a test looks at.
        "reaper": {"schedule": ""},
    }


def install(
    helm: str, cluster: Cluster, images: Path, values: dict[str, Any], *, wait: bool = True
) -> None:
    """Install the chart and wait until MLflow is ready, unless told not to."""
    done = subprocess.run(
        [helm, "install", RELEASE, str(ROOT / "helm/headrace"), "--kube-context", cluster.context,
         "--namespace", cluster.namespace, "--values", str(images), "--values", "-",
         *(["--wait"] if wait else []), "--timeout", "10m"],
        input=json.dumps(values), capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        pods = cluster.list("pods")
        told = [f"{one['metadata']['name']}: {json.dumps(one.get('status'))}" for one in pods]
        told += [str(one.get("message")) for one in cluster.list("events")]
        pytest.fail("\n".join([f"helm install failed: {done.stderr}", *told]))


def everything(cluster: Cluster, selector: str = "", *, chart: bool = False) -> list[str]:
    """All objects of a namespace, of whatever kind; without events, leases and what is derived.

    The chart's own are left out unless asked for.
    """
    found = []
    for base, kind in kinds_of(cluster):
        path = f"{base}/namespaces/{cluster.namespace}/{kind}"
        asked = f"{path}?labelSelector={selector}" if selector else path
        with suppress(ClusterProblem):
            for one in cluster.ask(asked).get("items") or []:
                labels = one["metadata"].get("labels") or {}
                if chart or labels.get("app.kubernetes.io/managed-by") not in OF_THE_CHART:
                    found.append(f"{kind}/{one['metadata']['name']}")
    return sorted(found)


def kinds_of(cluster: Cluster) -> list[tuple[str, str]]:
    """The kinds that live in namespaces and can be listed, each with its group's path."""
    groups = [one["preferredVersion"]["groupVersion"] for one in cluster.ask("/apis")["groups"]]
    found = []
    for base in ("/api/v1", *(f"/apis/{one}" for one in groups)):
        with suppress(ClusterProblem):
            found += [
                (base, one["name"])
                for one in cluster.ask(base)["resources"]
                if one["namespaced"] and {"list", "delete"} <= set(one["verbs"])
                and one["name"] not in ("events", "leases")
            ]  # fmt: skip
    return found
