"""The Job of a step: everything that must be in it, and what a pipeline may add."""

from dataclasses import replace
from pathlib import Path

import yaml

from headrace.running import manifests, overrides, resources
from headrace.running.manifests import PodSpec
from headrace.sites import cluster

GOLDEN = Path(__file__).parent / "golden"
SITE = cluster.parse(
    {
        "store": {"url": "s3://b/site", "endpoint": "http://s3:9000", "secret": "keys"},
        "mlflow": {"url": "http://mlflow:5000"},
        "images": {"python": "r/python:1"},
        "pull_secrets": ["registry"],
        "node_selector": {"pool": "ml"},
        "queue": "team",
        "limits": {"step": 3600, "keep": 60},
    },
    where="a test",
)


def spec(**changes):
    facts = {
        "run": "flights-20260101-101010-ab12",
        "step": "for-loop-1/0/count",
        "pipeline": "flights",
        "code": "sha256:0123456789abcdef",
        "attempt": 2,
        "kind": "python",
        "image": "r/python:1",
        "folder": "s3://b/site/runs/R/steps/for-loop-1/0/count/2",
        "checkpoints": "s3://b/site/checkpoints/KEY",
        "environment": {"LEVEL": "high"},
        "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "2Gi"}},
        "overrides": overrides.Overrides(),
        "trusted": False,
    }
    return PodSpec(**facts | changes)


def golden(name, found):
    """Compare with the file, or write it when UPDATE_GOLDEN is set."""
    import os

    file = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump(found, sort_keys=False, width=100))
    assert found == yaml.safe_load(file.read_text())


def test_a_python_step():
    golden("step.yaml", manifests.step_job(spec(), SITE))


def test_a_container_component_in_its_own_image():
    settings = overrides.read(
        {
            "secretAsEnv": [
                {"keyToEnv": [{"envVar": "PASSWORD", "secretKey": "pw"}], "optional": True,
                 "secretNameParameter": {"componentInputParameter": "which"}},
            ],
            "configMapAsVolume": [{"configMapName": "settings", "mountPath": "/etc/settings"}],
            "nodeSelector": {"labels": {"disk": "fast"}},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "podMetadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
        },
        {"which": "vault"},
    )  # fmt: skip
    job = manifests.step_job(
        spec(
            command=("sh", "-c", "echo hello"), command_image="busybox:1", overrides=settings,
        ),
        SITE,
    )  # fmt: skip
    golden("container.yaml", job)


def test_a_step_with_gpus_goes_to_nodes_that_are_kept_for_it():
    asked = {"accelerator": {"resourceType": "nvidia.com/gpu", "resourceCount": "2"}}
    found = resources.resources_of({"resources": asked}, cluster.Resources(cpu="1", memory="2Gi"))
    taints = ({"key": "team", "operator": "Exists"},)
    job = manifests.step_job(spec(resources=found), replace(SITE, tolerations=taints))
    assert job["spec"]["template"]["spec"]["tolerations"] == [
        {"key": "team", "operator": "Exists"}, {"key": "nvidia.com/gpu", "operator": "Exists"},
    ]  # fmt: skip


def test_what_leads_others_holds_no_place_in_the_queue_that_they_stand_in():
    """With as many of them as the queue has places, nothing of theirs would ever be admitted."""
    for trusted in (False, True):
        job = manifests.step_job(spec(trusted=trusted), SITE)
        for marks in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
            assert marks.get("kueue.x-k8s.io/queue-name") == (None if trusted else "team")


def test_the_same_attempt_always_has_the_same_name():
    assert spec().name == spec(image="another").name
    names = {spec().name, spec(attempt=3).name, spec(step="count").name, spec(run="r").name}
    assert len(names) == 4
    assert all(len(one) <= 52 for one in names)


def test_no_secrets_value_is_in_a_manifest():
    text = str(manifests.step_job(spec(), SITE))
    assert "'secretKeyRef': {'name': 'keys', 'key': 'AWS_SECRET_ACCESS_KEY'}" in text


def test_what_a_step_asks_for():
    defaults = cluster.Resources(cpu="1", memory="2Gi")
    assert resources.resources_of({}, defaults) == {
        "requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "2Gi"},
    }  # fmt: skip
    asked = {
        "resourceCpuLimit": "1.5", "resourceMemoryLimit": "4G",
        "accelerator": {"resourceType": "nvidia.com/gpu", "resourceCount": "2"},
    }  # fmt: skip
    assert resources.resources_of({"resources": asked}, defaults) == {
        "requests": {"cpu": "1.5", "memory": "4G", "nvidia.com/gpu": "2"},
        "limits": {"memory": "4G", "cpu": "1.5", "nvidia.com/gpu": "2"},
    }
    older = {"cpuLimit": 2.0, "memoryLimit": 4.0, "memoryRequest": 1.0}
    assert resources.resources_of({"resources": older}, defaults) == {
        "requests": {"cpu": "2", "memory": "1000000000"},
        "limits": {"memory": "4000000000", "cpu": "2"},
    }
