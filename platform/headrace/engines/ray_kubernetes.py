"""The objects that a training asks of KubeRay: a RayJob with its head and workers. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.cluster import labels, pods
from headrace.cluster.client import Manifest
from headrace.engines.ray import RaySpec
from headrace.sites.cluster import Resources, Site

TRAINING = f"{labels.PREFIX}training"
"""The label of all pods of one training."""
HEAD = "ray-head"
WORKER = "ray-worker"
CLAIM = "ray-claim"
CONTAINER = "ray"
"""The container in each pod."""
GROUP = "workers"
DASHBOARD_PORT = 8265
LONGEST_NAME = 47
"""Letters that KubeRay allows a RayJob's name."""
HEAD_RESOURCES = Resources(cpu="250m", memory="3Gi")
"""What the head asks for unless the site says otherwise: it trains nothing itself."""
WORKER_MEMORY = "2Gi"
"""A worker's memory where neither the step nor the site says anything."""
_AGENT_PORT = 52365
_GRACE = 3
"""Seconds that a pod gets to end. Nothing in it would use more: all is in the store by then."""
_GCS_READY = Path(__file__).with_name("ray_gcs_ready.sh")
_PRELOADED = "torch,ray.train.torch,headrace.executing.ray_worker"
WORKERS_PRINT = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
}
"""Has workers print and log as Python does, and as they do on one machine; Ray Train prints twice,
and whatever any library logs."""
_EVERYWHERE = {"RAY_USAGE_STATS_ENABLED": "0"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One training, as KubeRay is to run it."""

    name: str
    """The RayJob's name, which is the job's id in Ray too."""
    spec: RaySpec
    """What the step asks for."""
    site: Site
    """The site, with its limits and its defaults for `ray-head` and `ray-worker`."""
    image: str
    """The image of all pods."""
    ray_version: str
    """The version of Ray in it."""
    entrypoint: str
    """The command that the head runs."""
    labels: Mapping[str, Mapping[str, str]]
    """The labels of what plays each role, `ray-head` and `ray-worker`."""
    annotations: Mapping[str, str]
    """The annotations of all of it."""
    owner: Mapping[str, Any] | None
    """The ownerReference of whoever it goes with."""
    variables: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    """The environment of all containers, as a pod's manifest has it."""
    variable_sources: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    """Secrets and ConfigMaps whose every entry is a variable, as `envFrom` has them."""
    service_account: str = ""
    """Whom the head is to the cluster; the site's account for steps unless given."""
    pull_policy: str = "IfNotPresent"
    """When the image is pulled."""


def ray_job(asked: Asked) -> Manifest:
    """The RayJob. KubeRay makes a cluster for it, and removes that when the job has ended.

    `HTTPMode` needs no pod that submits: whoever comes first, the step itself or KubeRay,
    submits the job under its fixed id, and the other finds it there.
    """
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {
            "name": asked.name,
            "labels": dict(asked.labels[HEAD]) | {TRAINING: asked.name},
            "annotations": dict(asked.annotations),
            **({"ownerReferences": [dict(asked.owner)]} if asked.owner else {}),
        },
        "spec": {
            "submissionMode": "HTTPMode",
            "jobId": asked.name,
            "entrypoint": asked.entrypoint,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 0,
            "backoffLimit": 0,
            "activeDeadlineSeconds": asked.site.limits.step,
            "rayClusterSpec": cluster_spec(asked),
        },
    }


def cluster_spec(asked: Asked) -> dict[str, Any]:
    """The cluster: a head that trains nothing, and a pod for each worker."""
    spec = asked.spec
    cores = max(1, math.ceil(spec.cpus_per_worker))
    gpus = math.ceil(spec.gpus_per_worker)
    return {
        "rayVersion": asked.ray_version,
        "headGroupSpec": {
            "rayStartParams": {
                "num-cpus": "0",
                "no-monitor": "true",
                "disable-usage-stats": "true",
                "object-store-memory": str(100 * 2**20),
            },
            "template": _pod(asked, HEAD),
        },
        "workerGroupSpecs": [
            {
                "groupName": GROUP,
                "replicas": spec.workers,
                "minReplicas": spec.workers,
                "maxReplicas": spec.workers,
                "rayStartParams": {
                    "num-cpus": str(cores),
                    **({"num-gpus": str(gpus)} if gpus else {}),
                    "disable-usage-stats": "true",
                },
                "template": _pod(asked, WORKER),
            }
        ],
    }


def resources(asked: Asked, role: str) -> dict[str, Any]:
    """What a container asks for.

    The site may let a worker's pod reserve less than the cores it may use (`defaults.ray-worker`).
    """
    spec, site = asked.spec, asked.site
    if role == HEAD:
        head = site.defaults.get(HEAD, HEAD_RESOURCES)
        return pods.resources(head.cpu, head.memory)
    told = site.defaults.get(WORKER)
    cpu = told.cpu if told else f"{max(1, round(spec.cpus_per_worker * 1000))}m"
    memory = spec.memory or (told.memory if told else WORKER_MEMORY)
    return pods.resources(cpu, memory, gpus=math.ceil(spec.gpus_per_worker))


def _pod(asked: Asked, role: str) -> dict[str, Any]:
    site = asked.site
    asks = resources(asked, role)
    shared = {"medium": "Memory", "sizeLimit": asks["limits"]["memory"]}
    secrets = [{"name": name} for name in site.pull_secrets]
    tolerated = pods.tolerations(site.tolerations, asks)
    # Kueue admits the RayJob as a whole; its pods are not to queue once more.
    own = {name: one for name, one in asked.labels[role].items() if name != labels.QUEUE}
    return {
        "metadata": {
            "labels": own | {TRAINING: asked.name},
            "annotations": dict(asked.annotations),
        },
        "spec": {
            "serviceAccountName": asked.service_account or site.service_account,
            "automountServiceAccountToken": role == HEAD,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": _GRACE,
            "securityContext": pods.pod_security(),
            "containers": [_container(asked, role, asks)],
            "volumes": [*pods.volumes(), {"name": "shm", "emptyDir": shared}],
            **({"imagePullSecrets": secrets} if secrets else {}),
            **({"nodeSelector": dict(site.node_selector)} if site.node_selector else {}),
            **({"tolerations": tolerated} if tolerated else {}),
        },
    }


def _container(asked: Asked, role: str, asks: dict[str, Any]) -> dict[str, Any]:
    ahead = {"BASH_ENV": str(_GCS_READY), "RAY_preload_python_modules": _PRELOADED}
    ours = _EVERYWHERE | (ahead | WORKERS_PRINT if role == WORKER else {})
    sources = [dict(one) for one in asked.variable_sources]
    given = {one["name"] for one in asked.variables}
    plain = {name: value for name, value in ours.items() if name not in given}
    return {
        "name": CONTAINER,
        "image": asked.image,
        "imagePullPolicy": asked.pull_policy,
        "env": [*(dict(one) for one in asked.variables), *pods.variables(plain)],
        **({"envFrom": sources} if sources else {}),
        "resources": asks,
        "securityContext": pods.container_security(),
        "volumeMounts": [*pods.mounts(), {"name": "shm", "mountPath": "/dev/shm"}],  # noqa: S108
        "readinessProbe": {
            "httpGet": {"path": "/api/healthz", "port": _AGENT_PORT},
            "initialDelaySeconds": 2,
            "periodSeconds": 2,
            "timeoutSeconds": 5,
            "failureThreshold": 60,
        },
    }
