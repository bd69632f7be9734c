"""Two teams on one cluster, a site each: whatever account of the first team comes, and whatever it
tries, it neither reads nor writes anything of the second; and the second one's quota holds.

What pods reach over the network is tried where the cluster enforces NetworkPolicies, which is
found out by trying. There is a third namespace, without a site: what the second one lets in.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests import standins
from tests.e2e.accounts import headrace, token, write
from tests.e2e.running import PROJECT
from tests.e2e.serving import register, run_pod, until
from tests.e2e.test_the_platform import VOLUMES
from tests.site import ROOT, TESTBED, install, namespaces

from headrace.cli.checks.access import CLIENT, STEPS
from headrace.cluster import contexts, labels
from headrace.cluster.client import Cluster
from headrace.cluster.forwarding import forward
from headrace.core.errors import EnvironmentProblem, HeadraceError
from headrace.data.store import Store, store_of
from headrace.registry.needs import servable
from headrace.serving import deployed
from headrace.serving.offers import Scale
from headrace.sites.cluster import StoreSettings, discover

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.timeout(900)]

ACCOUNTS = ("headrace-step", "headrace-client", "person")
"""Of the first team: that of its steps, that of its command line in the cluster, a user's."""
TRIAL = ROOT / "helm/headrace/files/trial.py"
MLFLOW = 5000
STORE = 9000
JOBS, GCS = 8265, 6379
"""What a Ray head listens at: for jobs, and for its own workers."""


@dataclass(frozen=True, kw_only=True)
class Team:
    """A team's site."""

    cluster: Cluster
    kubeconfig: Path

    @property
    def name(self) -> str:
        """Its namespace."""
        return self.cluster.namespace

    def secret(self) -> dict[str, str]:
        """The keys of its store."""
        data = self.cluster.get("secrets", "headrace-store")["data"]
        return {key: base64.b64decode(one).decode() for key, one in data.items()}

    def say(self, *words: str, on: str = "") -> tuple[int, str]:
        """What a command of the team's user writes, at its own site or another one's."""
        where = ["--on", "person", "-n", on or self.name, "--home", str(self.kubeconfig.parent)]
        done = headrace(self.kubeconfig, *words, *where)
        return done.returncode, done.stdout + done.stderr


LENT = {"enabled": True} | ({} if VOLUMES else {"size": ""})
"""A server of the chart's own."""
VALUES: dict[str, Any] = {
    "objectStore": LENT,
    "mlflow": {"workers": 1},
    "defaults": {"python": {"cpu": "100m", "memory": "1Gi"}},
    "limits": {"keep": 20, "pending": 20},
    "reaper": {"schedule": ""},
}
SECOND: dict[str, Any] = {
    "postgres": LENT,
    "quota": {"requests.cpu": "600m", "pods": "8"},
    "containerDefaults": {"cpu": "50m", "memory": "256Mi"},
}
"""The second team's alone: a database, and a quota for its servers and two steps at once."""


@dataclass(frozen=True, kw_only=True)
class Teams:
    """The two, and a namespace that is neither's."""

    first: Team
    second: Team
    guest: Cluster

    def __iter__(self) -> Iterator[Team]:
        return iter((self.first, self.second))


@pytest.fixture(scope="module")
def teams(kubernetes, helm, images, tmp_path_factory) -> Iterator[Teams]:
    if TESTBED.exists():
        standins.make()
    names = [f"headrace-{word}-{os.getpid()}" for word in ("first", "second", "guest")]
    with namespaces(kubernetes, *names) as (first, second, guest):
        let_in = {"servedTo": [guest.namespace], "kuberayNamespace": guest.namespace}
        made = []
        for cluster, more in ((first, {}), (second, {**SECOND, **let_in})):
            cluster.create(
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "person"}}
            )
            users = [{"kind": "ServiceAccount", "name": "person"}]
            install(helm, cluster, images, {**VALUES, **more, "users": users})
            kubeconfig = tmp_path_factory.mktemp("team") / "kubeconfig"
            there = cluster.api.configuration
            write(
                kubeconfig,
                {one: {"cluster": "there", "user": one, "namespace": cluster.namespace}
                 for one in ACCOUNTS},
                {"there": {"server": there.host, "certificate-authority": there.ssl_ca_cert}},
                {one: {"token": token(cluster, one)} for one in ACCOUNTS},
            )  # fmt: skip
            made.append(Team(cluster=cluster, kubeconfig=kubeconfig))
        yield Teams(first=made[0], second=made[1], guest=guest)


def as_account(team: Team, account: str, space: str, monkeypatch: Any) -> Cluster:
    monkeypatch.setenv("KUBECONFIG", str(team.kubeconfig))
    return contexts.connect(account, space)


def allowed(cluster: Cluster, needs: Mapping[str, Any]) -> list[str]:
    """What of it the account may do there."""
    return [
        f"{verb} {thing}"
        for thing, verbs in needs.items()
        for verb in verbs
        if cluster.may(verb, thing.partition("/")[0], sub=thing.partition("/")[2])
    ]


EVERYTHING = {
    **STEPS, **CLIENT,
    "secrets": ("get", "list", "create"), "configmaps": ("get", "list", "create"),
    "pods/portforward": ("get", "create"), "pods/exec": ("get", "create"),
    "serviceaccounts": ("get", "create"), "rolebindings": ("get", "create"),
    "resourcequotas": ("get", "patch", "delete"), "networkpolicies": ("get", "patch", "delete"),
}  # fmt: skip


@pytest.mark.parametrize("account", ACCOUNTS)
def test_no_account_of_one_team_may_do_anything_in_the_others_namespace(
    teams, account, monkeypatch
):
    first, second = teams
    assert len(allowed(as_account(first, account, first.name, monkeypatch), CLIENT)) > 20
    there = as_account(first, account, second.name, monkeypatch)
    assert allowed(there, EVERYTHING) == []
    for attempt in (
        lambda: discover(there),
        lambda: there.get("secrets", "headrace-store"),
        lambda: there.list("pods"),
        lambda: there.delete("deployments", "headrace-mlflow"),
        lambda: there.create(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}, "data": {}}
        ),
    ):
        with pytest.raises(HeadraceError, match=r"(?i)forbidden|may not"):
            attempt()


def test_nobody_makes_the_cluster_wider_for_himself(teams, monkeypatch):
    for account in ACCOUNTS:
        here = as_account(teams.first, account, teams.first.name, monkeypatch)
        wider = {"rolebindings": ("create", "patch"), "roles": ("create", "patch"),
                 "secrets": ("list",), "resourcequotas": ("patch", "delete")}  # fmt: skip
        assert allowed(here, wider) == []


@pytest.mark.parametrize(
    "words", [("run", str(TRIAL), "--direct"), ("status",), ("clean", "--yes"), ("serve",)]
)
def test_the_command_line_says_who_may_not(teams, words):
    first, second = teams
    code, said = first.say(*words, on=second.name)
    assert code == 4, said
    assert f"system:serviceaccount:{first.name}:person" in said
    assert "Traceback" not in said


def test_each_has_runs_and_sees_its_own(teams):
    runs = []
    for team in teams:
        code, said = team.say("run", str(TRIAL), "--direct", "--json")
        assert code == 0, said
        runs.append(json.loads(said.splitlines()[-1])["run"])
    assert runs[0] != runs[1]
    for team, own in zip(teams, runs, strict=True):
        with store_of_team(team, team.secret()) as (url, store):
            assert store.folders(f"{url}/runs") == [own]


@contextmanager
def store_of_team(of: Team, keys: dict[str, str]) -> Iterator[tuple[str, Store]]:
    """A team's store with somebody's keys, by a way that only the keys can shut."""
    with forward(of.cluster, "headrace-objectstore", STORE) as address:
        settings = StoreSettings(url="s3://headrace/site", endpoint=f"http://{address}")
        yield settings.url, store_of(settings, credentials=keys, patience=3)


def test_the_keys_of_one_store_open_no_other(teams):
    first, second = teams
    assert first.secret() != second.secret()
    with store_of_team(second, second.secret()) as (url, store):
        assert store.listing(f"{url}/runs")
    with store_of_team(second, first.secret()) as (url, store):
        for attempt in (
            lambda: store.listing(f"{url}/runs"),
            lambda: store.read(f"{url}/runs/any"),
            lambda: store.write(f"{url}/artifacts/theirs", b"x"),
            lambda: store.delete(f"{url}/runs/any"),
        ):
            with pytest.raises(EnvironmentProblem):
                attempt()


def test_a_quota_holds_and_is_told(teams):
    first, second = teams
    waits = ("run", str(PROJECT / "troubles.py:waits"), "--direct", "-p", "seconds=1")
    have(second.cluster, cpu="110m")
    code, said = second.say(*waits)
    assert code == 1, said
    assert "finds no room in the quota 'headrace': it asks for requests.cpu" in said
    code, said = first.say(*waits)
    assert code == 0, said
    have(second.cluster, cpu=SECOND["quota"]["requests.cpu"])
    code, said = second.say(*waits)
    assert code == 0, said


def have(cluster: Cluster, *, cpu: str) -> None:
    """Give a team so many cores."""
    cluster.patch("resourcequotas", "headrace", {"spec": {"hard": {"requests.cpu": cpu}}})


REACH = """\
import socket, sys, time
from concurrent.futures import ThreadPoolExecutor

def reached(place):
    host, port = place.rsplit(":", 1)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
            return place
        except OSError:
            time.sleep(0.5)

with ThreadPoolExecutor() as pool:
    print(*filter(None, pool.map(reached, sys.argv[1:])))
"""
"""Each place is tried for a while: who lets pods in may not know yet of one that has just begun."""
LISTEN = """\
import socket, sys, time
held = [socket.create_server(("", int(port))) for port in sys.argv[1:]]
time.sleep(900)
"""


@contextmanager
def pod(cluster: Cluster, name: str, *command: str, image: str, **marks: str) -> Iterator[str]:
    """A pod that runs a program of ours; its address."""
    run_pod(cluster, name, image, ["python", "-c", *command], labels=marks)
    try:
        yield until(lambda: cluster.get("pods", name)["status"].get("podIP"), 60)
    finally:
        cluster.delete("pods", name, grace=0)
        until(lambda: cluster.get("pods", name) is None, 60)


def reached(cluster: Cluster, image: str, places: list[str]) -> list[str]:
    """Which places a pod of a namespace's own reaches."""
    with pod(cluster, "caller", REACH, *places, image=image):
        over = until(lambda: cluster.get("pods", "caller")["status"]["phase"] == "Succeeded", 120)
        assert over, list(cluster.logs("caller"))
        [line] = cluster.logs("caller")
    return line.split()


@contextmanager
def served(team: Team, folder: Path) -> Iterator[str]:
    """A model that the team serves; the name of its Service."""
    with forward(team.cluster, "headrace-mlflow", MLFLOW) as address:
        register(folder, f"http://{address}", "flights", 1)
        found = servable(f"http://{address}", "flights", "1")
    scale = Scale(replicas=1, max_replicas=1, cpu="50m", memory="600Mi")
    done = deployed.serve(team.cluster, discover(team.cluster), found, alias="", scale=scale)
    try:
        yield done.service
    finally:
        deployed.stop(team.cluster, "flights")


def test_pods_of_one_team_reach_nothing_of_the_others(teams, tmp_path):
    first, second = teams
    image = discover(second.cluster).images["python"]
    ports = (str(JOBS), str(GCS))
    head = pod(second.cluster, "head", LISTEN, *ports, image=image, **{labels.RUN: "of-ray"})
    with served(second, tmp_path) as model, head as address:
        mlflow, store, database = (
            f"headrace-{name}.{second.name}.svc:{port}"
            for name, port in (("mlflow", MLFLOW), ("objectstore", STORE), ("postgres", 5432))
        )
        answers = f"{model}.{second.name}.svc:80"
        jobs, gcs = f"{address}:{JOBS}", f"{address}:{GCS}"
        places = [mlflow, store, database, answers, jobs, gcs]
        seen = reached(first.cluster, image, places)
        if seen == places:
            pytest.skip("this cluster does not enforce NetworkPolicies")
        assert seen == []
        # As a step of its own: the database is for MLflow, which works with it meanwhile.
        assert reached(second.cluster, image, places) == [mlflow, store, answers, jobs, gcs]
        # Where models are served to, and KubeRay's operator is said to be.
        assert reached(teams.guest, image, places) == [answers, jobs]
