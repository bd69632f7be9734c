"""A site is backed up, destroyed, made anew and restored: a model serves as it did, and where it
came from is known as it was.

Kubeflow Pipelines is part of it where the cluster has its images.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests import standins
from tests.e2e.running import MAIN, PROJECT, until
from tests.e2e.test_the_platform import HAS_KFP, VALUES
from tests.site import S3_FOR_PODS, TESTBED, bucket, namespace

from headrace.cluster.client import Cluster
from headrace.cluster.forwarding import forward
from headrace.operating.safekeeping import STATEFUL
from headrace.registry import catalog
from headrace.running.target import target
from headrace.serving import deployed

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.timeout(1500)]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A namespace, and a bucket of the same name for its backups."""

    cluster: Cluster
    kubernetes: Cluster
    images: Path
    folder: Path
    s3: Any

    def say(self, *words: str, code: int = 0) -> str:
        """What a command writes, which ends with this exit code."""
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *words, "--on", self.cluster.context, "-n",
             self.cluster.namespace],
            capture_output=True, text=True, cwd=PROJECT,
            env={**os.environ, "HEADRACE_HOME": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        pods = [(one["metadata"]["name"], one["status"]) for one in self.cluster.list("pods")]
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}\n{json.dumps(pods)[:9000]}"
        return done.stdout if code == 0 else done.stderr

    def install(self) -> None:
        """The chart, with backups in the bucket, and the Secret with its keys."""
        keys = {one: os.environ[one] for one in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "backups"}}
        self.cluster.apply({**secret, "stringData": keys})
        to = f"s3://{self.cluster.namespace}/site"
        place = {"to": to, "existingSecret": "backups", "endpoint": S3_FOR_PODS, "keep": 2}
        given = self.folder / "values.json"
        given.write_text(json.dumps({**VALUES, "backup": place, "reaper": {"schedule": ""}}))
        self.say(
            "install", "--profile", "kind", "-f", str(self.images), "-f", str(given),
            "--timeout", "8m",
        )  # fmt: skip

    def destroy(self) -> None:
        """Everything in the namespace, volumes included, is gone; the backups are not."""
        name = self.cluster.namespace
        self.kubernetes.ask(f"/api/v1/namespaces/{name}", method="DELETE")
        until(lambda: not self.kubernetes.get("namespaces", name), 180, "the namespace has gone")
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.kubernetes.ask("/api/v1/namespaces", method="POST", body=body)

    def run(self, *, count: int) -> None:
        """Make a version and serve it, and wait until all of it is on record."""
        self.say("run", "keeping.py", "--json", "-p", f"count={count}")
        with forward(self.cluster, "headrace-mlflow", 5000) as address:
            uri = f"http://{address}"
            until(
                lambda: catalog.lineage(uri, "lines", "champion").steps, 120, "the run is on record"
            )

    def known(self) -> dict[str, Any]:
        """What the site knows of itself: lineage, decisions, runs, results, what is served."""
        with ExitStack() as ways:
            there = target(self.cluster.context, self.cluster.namespace, ways)
            address = ways.enter_context(forward(self.cluster, "headrace-mlflow", 5000))
            uri = f"http://{address}"
            objects = there.store.listing(there.store.url)
            return {
                "models": catalog.models(uri),
                "lineage": catalog.lineage(uri, "lines", "champion"),
                "history": catalog.history(uri, "lines"),
                "results": {
                    path: there.store.read(there.store.uri(path)) for path in objects
                    if path != "site.json"
                },
                "pipelines": self.pipelines(ways),
            }  # fmt: skip

    def pipelines(self, ways: ExitStack) -> list[Any]:
        """The runs that Kubeflow Pipelines knows, how they ended, and what recurs."""
        if not HAS_KFP:
            return []
        runs = self.ask(ways, "runs").get("runs", [])
        recurring = self.ask(ways, "recurringruns").get("recurringRuns", [])
        there = {one["metadata"]["uid"] for one in self.cluster.list("scheduledworkflows")}
        return [
            sorted((one["run_id"], one["state"]) for one in runs),
            [
                {
                    key: one.get(key)
                    for key in ("display_name", "mode", "trigger", "max_concurrency")
                }
                | {"recurs": one["recurring_run_id"] in there}
                for one in recurring
            ],
        ]

    def ask(self, ways: ExitStack, path: str, body: Any = None) -> Any:
        """What Kubeflow Pipelines' API answers."""
        address = ways.enter_context(forward(self.cluster, "ml-pipeline", 8888))
        request = urllib.request.Request(
            f"http://{address}/apis/v2beta1/{path}", json.dumps(body).encode() if body else None,
            {"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def have_it_recur(self) -> None:
        """Have Kubeflow Pipelines begin the run that it has carried out anew, once a year."""
        if not HAS_KFP:
            return
        with ExitStack() as ways:
            [run] = self.ask(ways, "runs")["runs"]
            whole = self.ask(ways, f"runs/{run['run_id']}")
            kept = ("pipeline_spec", "runtime_config", "experiment_id", "service_account")
            yearly = {"cron_schedule": {"cron": "0 0 3 1 1 *"}}
            more = {"display_name": "yearly", "mode": "ENABLE", "trigger": yearly}
            body = {key: whole[key] for key in kept if key in whole} | more
            self.ask(ways, "recurringruns", {**body, "max_concurrency": "1"})

    def answer(self) -> list[float]:
        """What the served model says of 2 and 10."""
        [served] = deployed.running(self.cluster)
        body = json.dumps({"dataframe_records": [{"x": 2.0}, {"x": 10.0}]}).encode()
        with forward(self.cluster, served.service, 80) as address:
            request = urllib.request.Request(
                f"http://{address}/invocations", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                return [round(one, 6) for one in json.load(answer)["predictions"]]

    def replicas(self) -> dict[str, int]:
        found = self.cluster.list("deployments", STATEFUL)
        return {one["metadata"]["name"]: one["spec"]["replicas"] for one in found}


@pytest.fixture(scope="module")
def place(kubernetes, images, s3, tmp_path_factory) -> Iterator[Place]:
    if TESTBED.exists():
        standins.make()
    name = f"headrace-backups-{os.getpid()}"
    with ExitStack() as undo:
        undo.enter_context(bucket(s3, name))
        cluster = undo.enter_context(namespace(kubernetes, name))
        yield Place(
            cluster=cluster, kubernetes=kubernetes, images=images, s3=s3,
            folder=tmp_path_factory.mktemp("home"),
        )  # fmt: skip


def test_a_destroyed_site_is_what_it_was(place):
    place.install()
    assert "There is no backup. Take one: headrace backup --on" in place.say("backup", "--list")
    nothing = place.say("restore", "--yes", code=4)
    assert nothing.startswith("error: There is no backup.\n")

    place.run(count=100)
    place.have_it_recur()
    before = place.known()
    assert before["lineage"].steps == ("table", "fit")
    assert place.answer() == [7.0, 31.0]

    made = json.loads(place.say("backup", "--json"))
    [served] = made["served"]
    assert served == {
        "model": "lines", "version": "1", "alias": "champion", "run": served["run"],
        "replicas": 1, "max_replicas": 2, "cpu": "50m", "memory": "600Mi",
    }  # fmt: skip
    assert sorted(made["dumps"]) == ["kfp.sql", "mlflow.sql"][not HAS_KFP :]
    assert (made["objects"], made["unfinished"]) == (len(before["results"]), [])
    again = json.loads(place.say("backup", "--json"))
    assert (again["objects"], again["copied"]) == (made["objects"], 0)

    place.destroy()
    place.install()
    assert not deployed.running(place.cluster)
    refused = place.say("backup", code=4)
    assert "The backups there are of a site that was here before" in refused
    said = place.say("restore", made["name"], "--yes")
    assert said.startswith(f"Restored from {made['name']}: {made['objects']} objects written, 0 re")
    assert place.known() == before
    assert place.answer() == [7.0, 31.0]


def test_what_came_after_a_backup_goes_and_nothing_is_changed_without_consent(place):
    before = place.known()
    place.say("backup")
    names = [one["name"] for one in json.loads(place.say("backup", "--list", "--json"))]
    assert len(names) == 2  # so many are kept
    replicas = place.replicas()

    place.run(count=200)
    after = place.known()
    assert [one.latest for one in after["models"]] == [2]
    refused = place.say("restore", code=2)
    lost = len(after["results"]) - len(before["results"])
    assert f"Nothing was changed: nobody is there to agree. {lost} objects that came l" in refused
    assert place.say("restore", "20200101-000000", "--yes", code=4).startswith(
        "error: There is no backup '20200101-000000'.\n"
    )
    assert place.known() == after

    said = place.say("restore", "--yes")
    assert f"{lost} removed" in said
    assert "served again: lines 1." in said
    assert place.known() == before
    assert place.replicas() == replicas
    # Helm is not told that somebody else has set the replicas.
    deployment = place.cluster.get("deployments", "headrace-mlflow")
    managers = {one["manager"] for one in deployment["metadata"]["managedFields"]}
    assert "headrace-restore" not in managers
    place.install()


def test_a_backup_that_is_not_whole_is_refused_before_anything_stops(place):
    name = place.cluster.namespace
    [*_, latest] = json.loads(place.say("backup", "--list", "--json"))
    listed = place.s3.get_object(Bucket=name, Key=f"site/backups/{latest['name']}/contents.jsonl")
    content = json.loads(listed["Body"].readline())["sha256"]
    place.s3.delete_object(Bucket=name, Key=f"site/objects/{content[:2]}/{content}")
    before = place.cluster.get("deployments", "headrace-mlflow")["metadata"]["generation"]
    said = place.say("restore", "--yes", code=4)
    assert "is not whole: it lacks 1 of" in said
    now = place.cluster.get("deployments", "headrace-mlflow")["metadata"]["generation"]
    assert now == before


def test_a_site_without_a_place_for_backups_says_how_to_name_one(place):
    place.cluster.delete("podtemplates", "headrace-backup")
    said = place.say("backup", code=4)
    assert said.startswith("error: The site has no place for backups.\n")
    assert "--set backup.to=s3://BUCKET/PREFIX" in said
