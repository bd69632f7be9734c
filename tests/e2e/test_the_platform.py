"""The chart with everything in it: installed, tried, upgraded, rolled back and uninstalled.

Where the cluster cannot pull others' images, those of the databases and the object store are made;
Kubeflow Pipelines' are not, and it is left out there unless HEADRACE_TEST_KFP_IMAGES says that the
cluster has them.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import standins
from tests.e2e.running import MAIN, until
from tests.site import RELEASE, ROOT, TESTBED, everything, namespace

from headrace.cluster.client import Cluster
from headrace.cluster.forwarding import forward
from headrace.core.errors import EnvironmentProblem
from headrace.registry.server_database import bring_up_to_date
from headrace.sites.cluster import discover

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.timeout(1500)]

# Said before the tests' own environment is cleaned.
HAS_KFP = bool(os.environ.get("HEADRACE_TEST_KFP_IMAGES")) or not TESTBED.exists()
PROFILE = ROOT / "helm/headrace/values-kind.yaml"
VOLUMES = bool(os.environ.get("HEADRACE_TEST_VOLUMES")) or not TESTBED.exists()
"""Whether the cluster gives pods that are not root's volumes that they can write to."""
VALUES = {"kfp": {"enabled": HAS_KFP, "ui": {"enabled": HAS_KFP and not TESTBED.exists()}}} | (
    {} if VOLUMES else {name: {"size": ""} for name in ("objectStore", "postgres", "mysql")}
)


def all_of(cluster: Cluster) -> list[str]:
    """What is in the namespace, but for what Kubernetes puts into every one."""
    given = ("configmaps/kube-root-ca.crt", "serviceaccounts/default")
    return [one for one in everything(cluster, chart=True) if one not in given]


class Release:
    """The release in its namespace."""

    def __init__(self, helm: str, cluster: Cluster, images: Path) -> None:
        self.cluster = cluster
        self._helm, self._images = helm, images

    def say(self, verb: str, *words: str, given: str = "", fails: bool = False) -> str:
        done = subprocess.run(
            [self._helm, verb, RELEASE, *words, "--kube-context", self.cluster.context,
             "--namespace", self.cluster.namespace],
            input=given, capture_output=True, text=True,
        )  # fmt: skip
        said = f"{done.stdout}\n{done.stderr}"
        pods = [
            (one["metadata"]["name"], one["status"].get("containerStatuses"))
            for one in self.cluster.list("pods")
        ]
        assert bool(done.returncode) == fails, f"{said}\n{json.dumps(pods, indent=1)}"
        return said

    def install(self, folder: Path) -> None:
        """As people do it."""
        given = folder / "values.json"
        given.write_text(json.dumps(VALUES))
        done = subprocess.run(
            [sys.executable, "-c", MAIN, "install", "--on", self.cluster.context,
             "-n", self.cluster.namespace, "--profile", "kind", "-f", str(self._images),
             "-f", str(given), "--timeout", "8m", "--kuberay"],
            capture_output=True, text=True,
        )  # fmt: skip
        pods = [(one["metadata"]["name"], one["status"]) for one in self.cluster.list("pods")]
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{json.dumps(pods, indent=1)}"
        assert done.stdout.startswith("$ helm upgrade headrace ")

    def put(self, verb: str, *settings: str, fails: bool = False) -> str:
        sets = [part for one in settings for part in ("--set", one)]
        chart = str(ROOT / "helm/headrace")
        return self.say(
            verb, chart, "--values", str(PROFILE), "--values", str(self._images),
            "--values", "-",
            *sets, "--wait", "--timeout", "8m", given=json.dumps(VALUES), fails=fails,
        )  # fmt: skip

    def statuses(self) -> list[str]:
        return [one["status"] for one in json.loads(self.say("history", "--output", "json"))]


@pytest.fixture(scope="module")
def release(kubernetes: Cluster, helm: str, images: Path) -> Iterator[Release]:
    if TESTBED.exists():
        standins.make()
    with namespace(kubernetes, f"headrace-platform-{os.getpid()}") as cluster:
        yield Release(helm, cluster, images)


def runs_known_to_mlflow(cluster: Cluster) -> list[str]:
    import mlflow

    with forward(cluster, "headrace-mlflow", 5000) as address:
        client = mlflow.MlflowClient(f"http://{address}")
        found = client.search_runs([one.experiment_id for one in client.search_experiments()])
    return sorted(one.info.run_name for one in found)


def an_older_database_is_upgraded(cluster: Cluster) -> None:
    """As the server's pod does it first of all, on a database that an older MLflow has left."""
    import mlflow.store.db.utils as store
    import psycopg
    import sqlalchemy
    from alembic import command
    from alembic.script import ScriptDirectory

    secret = cluster.get("secrets", "headrace-postgres")["data"]
    password = base64.b64decode(secret["password"]).decode()
    with forward(cluster, "headrace-postgres", 5432) as address:
        server = f"postgresql://mlflow:{password}@{address}"
        with psycopg.connect(f"{server}/mlflow", autocommit=True) as connection:
            connection.execute("CREATE DATABASE older")
        url = f"{server}/older"
        config = store._get_alembic_config(url)
        script = ScriptDirectory.from_config(config)
        head = script.get_current_head()
        before = script.get_revision(head).down_revision
        engine = sqlalchemy.create_engine(url)
        with engine.begin() as connection:
            store.InitialBase.metadata.create_all(connection)
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, before)
        engine.dispose()
        assert bring_up_to_date(url) == f"Upgraded from {before} to {head}."
        assert bring_up_to_date(url) == "Up to date."
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE alembic_version SET version_num = 'of-tomorrow'")
        with pytest.raises(EnvironmentProblem, match="could not be upgraded, and is as it was"):
            bring_up_to_date(url)


def test_its_whole_life(release, tmp_path):
    cluster = release.cluster
    before = all_of(cluster)

    refused = release.put("install", "kfp.database.prot=1", fails=True)
    assert "additional properties 'prot' not allowed" in refused
    assert all_of(cluster) == before == []

    release.install(tmp_path)
    site = discover(cluster)
    assert site.store.url == "s3://headrace/site"
    assert bool(site.kfp.url) == HAS_KFP
    said = release.say("test", "--logs", "--timeout", "10m")
    assert "✔ trial succeeded" in said
    record = runs_known_to_mlflow(cluster)
    assert len(record) >= 1

    an_older_database_is_upgraded(cluster)

    secrets = {one["metadata"]["name"]: one["data"] for one in cluster.list("secrets")}
    release.put("upgrade", "limits.pending=333", "mlflow.replicas=2")
    assert discover(cluster).limits.pending == 333
    assert cluster.get("deployments", "headrace-mlflow")["status"]["readyReplicas"] == 2
    assert runs_known_to_mlflow(cluster) == record
    now = {one["metadata"]["name"]: one["data"] for one in cluster.list("secrets")}
    assert {name: now[name] for name in secrets if not name.startswith("sh.helm")} == {
        name: one for name, one in secrets.items() if not name.startswith("sh.helm")
    }  # passwords are made once

    release.say("rollback", "1", "--wait", "--timeout", "8m")
    assert discover(cluster).limits.pending == 900
    assert runs_known_to_mlflow(cluster) == record
    assert release.statuses() == ["superseded", "superseded", "deployed"]

    release.say("uninstall", "--wait", "--timeout", "5m")
    # What belongs to data that may be there still; the notes name it.
    assert {one["metadata"]["name"] for one in cluster.list("secrets")} == {
        "headrace-mysql", "headrace-postgres", "headrace-store",
    }  # fmt: skip
    until(lambda: left(cluster) == ["pods/headrace-trial"], 60, "pods have come to their end")


def left(cluster: Cluster) -> list[str]:
    """What is there that no data belong to; runs of Kubeflow Pipelines are data of its own."""
    of_data = ("persistentvolumeclaims/", "secrets/", "workflows/trial-", "pods/trial-")
    return [one for one in all_of(cluster) if not one.startswith(of_data)]
