"""What `helm install` refuses before it changes anything, with the remedy in its output."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from tests.e2e.running import MAIN
from tests.site import RELEASE, ROOT, bucket, everything, namespace, store_values

from headrace.cluster.errors import NotThere
from headrace.sites.cluster import CONFIG_MAP

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def place(kubernetes, s3):
    """An empty namespace, and a bucket of the same name."""
    name = f"headrace-refused-{os.getpid()}"
    with ExitStack() as undo:
        undo.enter_context(bucket(s3, name))
        yield undo.enter_context(namespace(kubernetes, name))


@pytest.fixture
def refused(place, helm: str, images: Path):
    """Gives what an install says that is refused; nothing may have come of it."""

    def run(values: dict) -> str:
        before = everything(place, chart=True)
        done = subprocess.run(
            [helm, "install", RELEASE, str(ROOT / "helm/headrace"), "--kube-context",
             place.context, "--namespace", place.namespace, "--values", str(images),
             "--values", "-", "--timeout", "3m"],
            input=json.dumps(values), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode != 0, done.stdout
        subprocess.run(
            [helm, "uninstall", RELEASE, "--kube-context", place.context, "--namespace",
             place.namespace, "--ignore-not-found"],
            capture_output=True, check=True,
        )  # fmt: skip
        left = [one for one in everything(place, chart=True) if one not in before]
        assert [one for one in left if not one.startswith(("jobs/", "pods/"))] == []
        return done.stdout + done.stderr

    return run


def test_a_bucket_that_is_not_there(refused):
    said = refused(store_values("s3://headrace-nobodys-bucket/site"))
    assert "error: Could not write to it: The store has no bucket 'headrace-nobodys-b" in said
    assert "try: make the bucket, or correct store.url of the site" in said


def test_a_place_for_backups_that_is_not_there(refused, place):
    values = store_values(f"s3://{place.namespace}/kept")
    database = {"mlflow": {"database": {"existingSecret": "record"}}, "postgres": {"enabled": True}}
    place.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "record"},
                 "stringData": {"url": "sqlite:///x"}})  # fmt: skip
    said = refused({**values, **database, "backup": {"to": "s3://headrace-nobodys-backups/site"}})
    assert "error: The place for backups: Could not write to it: The store has no bucket" in said
    assert "try: make the bucket, or correct backup.to" in said


def test_a_store_that_is_another_sites(refused, place, s3):
    theirs = json.dumps({"namespace": "theirs", "cluster": "0"}).encode()
    s3.put_object(Bucket=place.namespace, Key="site/site.json", Body=theirs)
    said = refused(store_values(f"s3://{place.namespace}/site"))
    assert "The store is that of the site in namespace 'theirs' of another cluster." in said
    assert "set store.adopt=true" in said


def test_a_database_that_is_not_there(refused, place):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "record"}}
    url = "postgresql://mlflow:secret@nobody.invalid:5432/mlflow"
    place.apply({**secret, "stringData": {"url": url}})
    values = {
        **store_values(f"s3://{place.namespace}/another"),
        "mlflow": {"database": {"existingSecret": "record"}},
    }
    said = refused(values)
    assert "error: MLflow's database does not answer:" in said
    assert "at: nobody.invalid:5432" in said
    assert "secret@" not in said


def test_a_secret_that_is_not_there(refused, place):
    said = refused({"store": {"url": f"s3://{place.namespace}/x", "existingSecret": "keys"}})
    assert f"There is no Secret keys in the namespace {place.namespace}" in said


def test_a_queue_where_there_is_no_kueue(refused, place, kubernetes):
    with suppress(NotThere):
        kubernetes.ask("/apis/kueue.x-k8s.io")
        pytest.skip("the cluster has Kueue")
    queue = {"queue": "team", "kueue": {"create": True, "resources": {"cpu": "1"}}}
    said = refused({**store_values(f"s3://{place.namespace}/queued"), **queue})
    assert "kueue.create needs Kueue 0.15 or newer, and this cluster serves no kueue" in said


def test_kinds_that_nobody_makes(refused, place, kubernetes):
    with suppress(NotThere):
        kubernetes.ask("/apis/argoproj.io")
        pytest.skip("the cluster has Argo's kinds")
    kfp = {"enabled": True, "createCrds": False, "ui": {"enabled": False}}
    values = store_values(f"s3://{place.namespace}/kinds")
    said = refused({**values, "kfp": kfp, "mysql": {"enabled": True}})
    assert "kfp.createCrds is off, and this cluster serves no argoproj.io/v1alpha1" in said


def test_a_second_release_in_the_namespace(place, helm, images):
    """A ConfigMap of the site's name is enough: nothing else is looked at."""
    meta = {"name": CONFIG_MAP, "annotations": {"meta.helm.sh/release-name": "first"}}
    place.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    done = subprocess.run(
        [helm, "install", "second", str(ROOT / "helm/headrace"), "--kube-context", place.context,
         "--namespace", place.namespace, "--values", str(images), "--values", "-"],
        input=json.dumps(store_values(f"s3://{place.namespace}/x")), capture_output=True, text=True,
    )  # fmt: skip
    place.delete("configmaps", CONFIG_MAP)
    assert done.returncode != 0
    assert f"The namespace {place.namespace} is a site already, by the release first" in done.stderr


def test_nobody_at_the_door(refused, place):
    oidc = {"enabled": True, "issuerUrl": "https://login.invalid", "existingSecret": "signing-in",
            "hosts": {"mlflow": "mlflow.example.com"}}  # fmt: skip
    said = refused({**store_values(f"s3://{place.namespace}/x"), "oidc": oidc})
    assert f"There is no Secret signing-in in the namespace {place.namespace}" in said


def test_what_a_pod_waits_for_is_said_while_helm_waits(place, images):
    nobodys = "registry.testbed/headrace/python:of-nobody"
    given = json.dumps(store_values(f"s3://{place.namespace}/waiting"))
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "install", "--on", place.context, "-n", place.namespace,
         "-f", str(images), "-f", "/dev/stdin", "--set", f"images.python={nobodys}",
         "--timeout", "30s"],
        input=given, capture_output=True, text=True,
    )  # fmt: skip
    subprocess.run(
        ["helm", "uninstall", RELEASE, "--kube-context", place.context, "--namespace",
         place.namespace, "--ignore-not-found"],
        capture_output=True, check=True,
    )  # fmt: skip
    place.delete("jobs", "headrace-preflight")
    assert done.returncode == 4, done.stderr
    [line] = [one for one in done.stderr.splitlines() if "of-nobody" in one]
    assert re.fullmatch(
        rf"  headrace-preflight-\w+: cannot get the image {nobodys}: its registry does not have it "
        r"\(try: build and push it with images/build\.py, or correct `images` of the site\)",
        line,
    )
