"""`headrace sites`: what an administrator sees, what others see, and a context that is silent."""

from __future__ import annotations

import json
import socket
import time

import pytest
from tests.e2e.accounts import headrace, limited, write

from headrace.cli.main import main

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def test_a_context_shows_its_sites(site, capsys):
    assert main(["sites", "--json"]) == 0
    found = {one["context"]: one for one in json.loads(capsys.readouterr().out)}
    sites = {one["namespace"]: one for one in found[site.context]["sites"]}
    assert sites[site.namespace]["site"]["store"]["url"] == site.site.store.url
    assert sites[site.namespace]["mismatches"] == []
    assert main(["sites"]) == 0
    line = next(one for one in capsys.readouterr().out.splitlines() if f" {site.namespace} " in one)
    assert line.startswith(f"✔ {site.context} ") and line.endswith(" yes")


def test_one_may_see_no_more_than_ones_own(site, tmp_path):
    config = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    limited(site.cluster, [config], tmp_path / "kubeconfig")
    try:
        done = headrace(tmp_path / "kubeconfig", "sites", "--json")
    finally:
        for kind, name in {
            "rolebindings": "limited-too", "roles": "limited", "serviceaccounts": "limited",
        }.items():  # fmt: skip
            site.cluster.delete(kind, name)
    (found,) = json.loads(done.stdout)
    assert (found["reachable"], found["everywhere"]) == (True, False)
    assert [one["namespace"] for one in found["sites"]] == [site.namespace]


def test_a_context_that_says_nothing_holds_nobody_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        server = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
        context = {"cluster": "there", "user": ""}
        write(tmp_path / "kubeconfig", {"silent": context}, {"there": server}, {})
        began = time.monotonic()
        done = headrace(tmp_path / "kubeconfig", "sites", "--json")
        took = time.monotonic() - began
    (found,) = json.loads(done.stdout)
    assert found["problem"]["what"] == "The cluster did not answer within 3 s."
    assert done.returncode == 0
    assert took < 20
