"""What is applied to a cluster to serve a version. What is proved here:

an offer becomes whole objects, always the same; a site's settings reach them; names are such as
Kubernetes takes; and serving the same version for another run replaces no pod.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.core.errors import UsageError
from headrace.registry.needs import Needs, Servable
from headrace.registry.signatures import Kind, Signature
from headrace.serving import deployed, manifests
from headrace.serving.offers import Offer, Scale, object_name
from headrace.sites.cluster import parse

GOLDEN = Path(__file__).parent / "golden" / "served.yaml"
SITE: dict[str, Any] = {
    "store": {"url": "s3://headrace/site", "endpoint": "http://s3.storage:9000"},
    "mlflow": {"url": "http://headrace-mlflow.team.svc:5000"},
    "images": {"python": "registry/headrace/python:1", "serve": "registry/headrace/serve:1"},
}


def servable(**changed: Any) -> Servable:
    told: dict[str, Any] = {
        "name": "flight-delays",
        "version": 3,
        "digest": f"sha256:{'ab' * 32}",
        "code": f"sha256:{'cd' * 32}",
        "needs": Needs(python="3.12.1", packages={}, from_code=True, torch=False),
        "signature": Signature(kind=Kind.UNSIGNED),
        "example": None,
    }
    return Servable(**(told | changed))


def offer(site: dict[str, Any] | None = None, **changed: Any) -> Offer:
    told: dict[str, Any] = {
        "version": servable(),
        "alias": "champion",
        "image": "registry/headrace/python:1",
        "scale": Scale(replicas=2, max_replicas=4, cpu="500m", memory="1Gi"),
        "site": parse({**SITE, **(site or {})}, where="here"),
        "namespace": "team",
        "run": "flights-1124-1200",
        "rollout": "r1",
    }
    return Offer(**(told | changed))


def test_an_offer_is_five_whole_objects() -> None:
    made = manifests.manifests(offer(), replicas=2)
    assert made == list(yaml.safe_load_all(GOLDEN.read_text()))


def test_what_the_site_says_of_pods_is_said_of_a_server_too() -> None:
    site = {
        "pull_secrets": ["registry"],
        "node_selector": {"pool": "serving"},
        "tolerations": [{"key": "serving", "operator": "Exists"}],
        "queue": "team",
    }
    made = manifests.deployment(offer(site), replicas=1)
    pod = made["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["nodeSelector"] == {"pool": "serving"}
    assert pod["tolerations"] == [{"key": "serving", "operator": "Exists"}]
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"


def test_the_same_version_for_another_run_or_alias_is_the_same_template() -> None:
    one = manifests.deployment(offer(), replicas=1)
    other = manifests.deployment(offer(run="flights-1125-0900", alias="", rollout="r2"), replicas=1)
    assert one["spec"] == other["spec"]
    assert one["metadata"] != other["metadata"]
    assert other["metadata"]["annotations"] == {
        "headrace.dev/model-name": "flight-delays",
        "headrace.dev/version": "3",
        "headrace.dev/digest": f"sha256:{'ab' * 32}",
        "headrace.dev/code-digest": f"sha256:{'cd' * 32}",
        "headrace.dev/rollout": "r2",
    }


def test_a_model_that_is_not_ours_has_no_digest_to_check() -> None:
    version = servable(digest="", code="")
    made = manifests.deployment(offer(version=version, run=""), replicas=1)
    assert made["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "headrace",
        "headrace.dev/role": "server",
        "headrace.dev/model": "flight-delays",
    }
    fetching = made["spec"]["template"]["spec"]["initContainers"][0]["command"]
    assert fetching[3:] == ["models:/flight-delays/3", "/work/model"]


@pytest.mark.parametrize(
    ("url", "rules"),
    [
        ("http://mlflow:5000", [("service", "team")]),
        ("http://mlflow.other.svc.cluster.local", [("service", "other")]),
        ("http://s3.storage:9000", [("service", "storage"), ("port", 9000)]),
        ("https://s3.eu-west-1.amazonaws.com", [("port", 443)]),
        ("http://10.89.0.1:9000", [("port", 9000)]),
        ("http://minio.example.com", [("port", 80)]),
    ],
)
def test_a_server_is_let_out_to_a_host(url: str, rules: list[tuple[str, Any]]) -> None:
    made = manifests.network_policy(offer({"mlflow": {"url": url}}))
    service = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "?"}}}
    found: list[tuple[str, Any]] = []
    for rule in made["spec"]["egress"][1 : 1 + len(rules)]:
        if "to" in rule:
            (target,) = rule["to"]
            assert target.keys() == service.keys()
            found += [("service", *target["namespaceSelector"]["matchLabels"].values())]
        else:
            found += [("port", one["port"]) for one in rule["ports"]]
    assert found == rules


@pytest.mark.parametrize(
    ("served_to", "rule"),
    [
        ([], {"from": [{"podSelector": {}}]}),
        (
            ["shop"],
            {
                "from": [
                    {"podSelector": {}},
                    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}},
                ]
            },
        ),
        (["shop", "*"], {}),
    ],
)
def test_a_server_is_called_from_where_the_site_says(
    served_to: list[str], rule: dict[str, Any]
) -> None:
    made = manifests.network_policy(offer({"served_to": served_to}))
    assert made["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8500}], **rule}]


@pytest.mark.parametrize(
    "name", ["flight-delays", "Flight Delays", "flight_delays", "ünï", "7", "x" * 200, "a" * 63]
)
def test_names_and_labels_are_such_as_kubernetes_takes(name: str) -> None:
    made = manifests.manifests(offer(version=servable(name=name)), replicas=1)
    (called,) = {one["metadata"]["name"] for one in made}
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,50}[a-z0-9])?", called)
    for value in made[0]["metadata"]["labels"].values():
        assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", value)


def test_names_that_differ_are_called_differently() -> None:
    names = ["flight-delays", "Flight-delays", "flight delays", "flight_delays"]
    assert len({object_name(one) for one in names}) == len(names)


def test_threads_are_the_whole_cores() -> None:
    for cpu, threads in {"250m": "1", "1": "1", "1.5": "1", "4": "4", "2500m": "2"}.items():
        made = manifests.deployment(offer(scale=Scale(cpu=cpu)), replicas=1)
        command = made["spec"]["template"]["spec"]["containers"][0]["command"]
        assert command[command.index("--threads") + 1] == threads


def test_scale_takes_the_sites_word_for_what_is_not_said() -> None:
    site = parse({**SITE, "defaults": {"serve": {"cpu": "250m", "memory": "700Mi"}}}, where="here")
    usual = Scale(replicas=1, max_replicas=3, cpu="250m", memory="700Mi")
    assert deployed.scale_of(site) == usual
    assert deployed.scale_of(parse(SITE, where="here")) == Scale()
    more = deployed.scale_of(site, replicas=5, memory="2Gi")
    assert more == dataclasses.replace(usual, replicas=5, max_replicas=5, memory="2Gi")
    with pytest.raises(UsageError) as caught:
        deployed.scale_of(site, replicas=0)
    assert str(caught.value) == (
        "0 replicas serve nothing.\n  try: replicas=1, or headrace stop to end it"
    )
