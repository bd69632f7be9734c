"""The RayJob that a training asks for, whole, and what settings change in it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from headrace.cluster import pods
from headrace.engines import ray_kubernetes
from headrace.engines.ray import RaySpec
from headrace.engines.ray_kubernetes import Asked, cluster_spec, ray_job
from headrace.sites.cluster import Limits, Resources, Site, StoreSettings

STORE = StoreSettings(url="s3://bucket/site")
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "step", "uid": "u1", "controller": True}
VARIABLES = (
    {"name": "HEADRACE_RUN", "value": "r1"},
    {
        "name": "AWS_ACCESS_KEY_ID",
        "valueFrom": {"secretKeyRef": {"name": "store", "key": "AWS_ACCESS_KEY_ID"}},
    },
)


def asked(*, spec=None, site=None, **more):
    labels = {role: {"headrace.dev/role": role, "kueue.x-k8s.io/queue-name": "team"}
              for role in ("ray-head", "ray-worker")}  # fmt: skip
    given = {
        "name": "ray-train-abc",
        "spec": spec or RaySpec(workers=2),
        "site": site or Site(store=STORE),
        "image": "registry.example/ray:1",
        "ray_version": "2.60.0",
        "entrypoint": "python -m headrace.executing.ray_job s3://bucket/site/runs/r1",
        "labels": labels,
        "annotations": {"headrace.dev/step-path": "train"},
        "owner": OWNER,
        "variables": VARIABLES,
    }
    return Asked(**given | more)


def container(role, variables, cpu, memory, extra=None):
    extra = extra or {}
    return {
        "name": "ray",
        "image": "registry.example/ray:1",
        "imagePullPolicy": "IfNotPresent",
        "env": [*VARIABLES, *({"name": name, "value": one} for name, one in variables.items())],
        "resources": {
            "requests": {"cpu": cpu, "memory": memory} | extra,
            "limits": {"memory": memory} | extra,
        },
        "securityContext": pods.container_security(),
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "work", "mountPath": "/work"},
            {"name": "s3", "mountPath": "/s3"},
            {"name": "shm", "mountPath": "/dev/shm"},
        ],
        "readinessProbe": {
            "httpGet": {"path": "/api/healthz", "port": 52365},
            "initialDelaySeconds": 2,
            "periodSeconds": 2,
            "timeoutSeconds": 5,
            "failureThreshold": 60,
        },
    }


def template(role, container, memory):
    return {
        "metadata": {
            "labels": {"headrace.dev/role": role, "headrace.dev/training": "ray-train-abc"},
            "annotations": {"headrace.dev/step-path": "train"},
        },
        "spec": {
            "serviceAccountName": "headrace-step",
            "automountServiceAccountToken": role == "ray-head",
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 3,
            "securityContext": pods.pod_security(),
            "containers": [container],
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "work", "emptyDir": {}},
                {"name": "s3", "emptyDir": {}},
                {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": memory}},
            ],
        },
    }


AHEAD = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "BASH_ENV": str(Path(ray_kubernetes.__file__).with_name("ray_gcs_ready.sh")),
    "RAY_preload_python_modules": "torch,ray.train.torch,headrace.executing.ray_worker",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
}


def test_the_whole_ray_job():
    head = container("ray-head", {"RAY_USAGE_STATS_ENABLED": "0"}, "250m", "3Gi")
    worker = container("ray-worker", AHEAD, "1000m", "2Gi")
    assert ray_job(asked()) == {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {
            "name": "ray-train-abc",
            "labels": {
                "headrace.dev/role": "ray-head",
                "headrace.dev/training": "ray-train-abc",
                "kueue.x-k8s.io/queue-name": "team",
            },
            "annotations": {"headrace.dev/step-path": "train"},
            "ownerReferences": [OWNER],
        },
        "spec": {
            "submissionMode": "HTTPMode",
            "jobId": "ray-train-abc",
            "entrypoint": "python -m headrace.executing.ray_job s3://bucket/site/runs/r1",
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 0,
            "backoffLimit": 0,
            "activeDeadlineSeconds": 86400,
            "rayClusterSpec": {
                "rayVersion": "2.60.0",
                "headGroupSpec": {
                    "rayStartParams": {
                        "num-cpus": "0",
                        "no-monitor": "true",
                        "disable-usage-stats": "true",
                        "object-store-memory": "104857600",
                    },
                    "template": template("ray-head", head, "3Gi"),
                },
                "workerGroupSpecs": [
                    {
                        "groupName": "workers",
                        "replicas": 2,
                        "minReplicas": 2,
                        "maxReplicas": 2,
                        "rayStartParams": {"num-cpus": "1", "disable-usage-stats": "true"},
                        "template": template("ray-worker", worker, "2Gi"),
                    }
                ],
            },
        },
    }


def test_gpus_memory_and_parts_of_cores():
    spec = RaySpec(workers=3, min_workers=1, cpus_per_worker=2.5, gpus_per_worker=0.5, memory="9Gi")
    [group] = cluster_spec(asked(spec=spec))["workerGroupSpecs"]
    assert {name: group[name] for name in ("replicas", "minReplicas", "maxReplicas")} == {
        "replicas": 3, "minReplicas": 3, "maxReplicas": 3,
    }  # fmt: skip
    assert group["rayStartParams"] == {
        "num-cpus": "3", "num-gpus": "1", "disable-usage-stats": "true",
    }  # fmt: skip
    gpu = {"nvidia.com/gpu": "1"}
    worker = container("ray-worker", AHEAD, "2500m", "9Gi", gpu)
    pod = group["template"]["spec"]
    assert pod["containers"] == [worker]
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]


def test_what_the_site_says():
    site = Site(
        store=STORE,
        pull_secrets=("registry",),
        node_selector={"pool": "training"},
        tolerations=({"key": "gpu", "operator": "Exists"},),
        limits=Limits(step=600),
        defaults={
            "ray-head": Resources(cpu="100m", memory="1Gi"),
            "ray-worker": Resources(cpu="300m", memory="5Gi"),
        },
    )
    made = ray_job(asked(site=site, service_account="pipeline-runner", owner=None))
    cluster = made["spec"].pop("rayClusterSpec")
    assert "ownerReferences" not in made["metadata"]
    assert made["spec"]["activeDeadlineSeconds"] == 600
    templates = [cluster["headGroupSpec"]["template"], cluster["workerGroupSpecs"][0]["template"]]
    for role, one, cpu, memory in zip(
        ("ray-head", "ray-worker"), templates, ("100m", "300m"), ("1Gi", "5Gi"), strict=True
    ):
        variables = AHEAD if role == "ray-worker" else {"RAY_USAGE_STATS_ENABLED": "0"}
        expected = template(role, container(role, variables, cpu, memory), memory)
        expected["spec"] |= {
            "serviceAccountName": "pipeline-runner",
            "imagePullSecrets": [{"name": "registry"}],
            "nodeSelector": {"pool": "training"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
        }
        assert one == expected


def test_the_steps_own_variables_win():
    own = ({"name": "RAY_USAGE_STATS_ENABLED", "value": "1"},)
    head = cluster_spec(asked(variables=own))["headGroupSpec"]["template"]["spec"]["containers"]
    assert head[0]["env"] == list(own)


@pytest.fixture
def init_container(tmp_path):
    """KubeRay's waiting for the head, as bash runs it; Ray's own command says that it was run."""
    real = tmp_path / "ray"
    real.write_text("#!/bin/sh\necho the real ray: $*\n")
    real.chmod(0o755)

    def run(command):
        environment = {"BASH_ENV": AHEAD["BASH_ENV"], "PATH": f"{tmp_path}:/usr/bin:/bin"}
        return subprocess.Popen(
            [shutil.which("bash"), "-c", "--", command],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    return run


def test_a_workers_wait_ends_when_the_head_listens(init_container):
    import socket
    import time

    with socket.socket() as head:
        head.bind(("127.0.0.1", 0))
        waiting = init_container(
            f"if ray health-check --address 127.0.0.1:{head.getsockname()[1]} > /dev/null 2>&1; "
            'then echo "GCS is ready."; fi; echo "${BASH_ENV:-nothing}"; ray start --block'
        )
        time.sleep(1)
        assert waiting.poll() is None
        head.listen()
        said, _ = waiting.communicate(timeout=10)
    assert said == "GCS is ready.\nnothing\nthe real ray: start --block\n"
