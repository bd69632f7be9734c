"""A site's ConfigMap: what it may say, and what is said of one that is wrong."""

import json

import pytest

from headrace.core.errors import EnvironmentProblem
from headrace.sites import cluster
from headrace.sites.cluster import Limits, Resources, ServiceSettings, StoreSettings

SMALLEST = {"store": {"url": "s3://b/site"}}
WHOLE = {
    "store": {
        "url": "s3://b/site", "endpoint": "http://s3:9000", "client_endpoint": "http://x:9000",
        "region": "eu-1", "secret": "keys",
    },
    "mlflow": {"url": "http://mlflow:5000"},
    "kfp": {"url": "http://ml-pipeline.kubeflow:8888", "client_url": "https://kfp.example.com"},
    "images": {"python": "r/python:1", "spark": "r/spark:1"},
    "versions": {"python": 3.12, "ray": "2.60.0"},
    "pull_secrets": ["registry"],
    "service_account": "steps",
    "defaults": {"python": {"cpu": "500m", "memory": "1Gi"}},
    "limits": {"step": 60},
    "node_selector": {"pool": "ml"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "ray_cluster": "warm",
    "queue": "team",
}  # fmt: skip


def test_a_site_that_says_everything():
    site = cluster.parse(WHOLE, where="here")
    assert site.store == StoreSettings(**WHOLE["store"])
    assert site.kfp == ServiceSettings(**WHOLE["kfp"])
    assert site.limits == Limits(step=60)
    assert site.versions == {"python": "3.12", "ray": "2.60.0"}
    assert site.resources("python") == Resources(cpu="500m", memory="1Gi")
    assert site.resources("ray") == Resources(cpu="500m", memory="1Gi")
    assert site.tolerations == ({"key": "gpu", "operator": "Exists"},)


@pytest.mark.parametrize("raw", [SMALLEST, WHOLE])
def test_what_a_pod_is_given_says_the_same(raw):
    site = cluster.parse(raw, where="here")
    assert cluster.parse(json.loads(site.to_json()), where="the pod") == site


@pytest.mark.parametrize(
    ("raw", "what", "hint"),
    [
        ({}, "site.yaml lacks 'store'.", ""),
        ({"store": {}}, "site.yaml lacks 'url' in store.", ""),
        ({"store": "s3://b"}, "store must be a mapping, not 's3://b'.", ""),
        ({**SMALLEST, "imges": {}}, "site.yaml has an unknown setting 'imges'.", "'images'"),
        (
            {"store": {"url": "s3://b", "secrets": "x"}},
            "site.yaml has an unknown setting 'store.secrets'.",
            "'secret'",
        ),
        (
            {**SMALLEST, "defaults": {"python": {"cpus": 1}}},
            "site.yaml has an unknown setting 'defaults.python.cpus'.",
            "'cpu'",
        ),
    ],
)
def test_what_is_wrong_with_a_site(raw, what, hint):
    with pytest.raises(EnvironmentProblem) as caught:
        cluster.parse(raw, where="context c, namespace n")
    assert caught.value.what == what
    assert hint in caught.value.hint
    assert caught.value.where == ("context c, namespace n",)
