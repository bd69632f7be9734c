"""What serves a version on a cluster, as manifests. Pure: the same offer gives the same objects.

All objects of a model bear one name, which its versions share. What changes when another
version is served is the pods' template alone, so that Kubernetes rolls it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from headrace.cluster import labels, pods
from headrace.registry.needs import Servable
from headrace.sites.cluster import Site

Manifest = dict[str, Any]

ROLE = "server"
CONTAINER = "server"
FETCH = "fetch"
PORT = 8500
"""The pods' port; the Service listens on 80."""
FOLDER = "/work/model"
"""Where the pod puts the model's files."""
START_SECONDS = 300
"""A server that is not ready by then is started anew."""
LAME_SECONDS = 10
"""A pod that is to end takes connections for so long: until no proxy names it any more."""
GRACE_SECONDS = 30
"""Then it has so long to answer what it has accepted."""
LAST_SECONDS = 5
TARGET_CPU_PERCENT = 70
"""Of the cores asked for: above, replicas are added."""
NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label of a namespace that Kubernetes itself sets."""

VERSION = f"{labels.PREFIX}version"
DIGEST = f"{labels.PREFIX}digest"
CODE_DIGEST = f"{labels.PREFIX}code-digest"
MODEL_NAME = f"{labels.PREFIX}model-name"
ALIAS = f"{labels.PREFIX}alias"
ROLLOUT = f"{labels.PREFIX}rollout"
"""Annotations: what is served, in full; and which roll-out has changed the objects last."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How many replicas there may be, and what each has."""

    replicas: int = 1
    """The fewest."""
    max_replicas: int = 3
    """The most."""
    cpu: str = "1"
    """Cores that a replica asks for, in Kubernetes' notation; it may use more."""
    memory: str = "2Gi"
    """Memory of a replica, request and limit."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A version to be served, and how."""

    version: Servable
    """The version."""
    alias: str
    """The alias that was resolved to it; empty if a version was asked for."""
    image: str
    """The image's reference."""
    scale: Scale
    """Replicas and what each has."""
    site: Site
    """The site."""
    namespace: str
    """Its namespace."""
    run: str = ""
    """The pipeline run that asks; empty if a person does."""
    rollout: str = ""
    """A name of this roll-out alone."""

    @property
    def name(self) -> str:
        """What all its objects are called."""
        return object_name(self.version.name)


def object_name(model: str) -> str:
    """What all objects of a model are called."""
    return labels.name("model", model)


def selecting(model: str = "") -> dict[str, str]:
    """The labels that find the objects and pods of a model, or of all models."""
    told = {**labels.MANAGED, labels.ROLE: ROLE}
    return {**told, labels.MODEL: labels.value(model)} if model else told


def endpoint(model: str, namespace: str) -> str:
    """A model's base URL within the cluster."""
    return f"http://{object_name(model)}.{namespace}.svc"


def manifests(offer: Offer, *, replicas: int) -> list[Manifest]:
    """All objects that serve a version, in the order to make them.

    Args:
        offer: The version.
        replicas: How many replicas there are to be now; later the autoscaler decides.
    """
    return [
        network_policy(offer),
        service(offer),
        disruption_budget(offer),
        deployment(offer, replicas=replicas),
        autoscaler(offer),
    ]


def deployment(offer: Offer, *, replicas: int) -> Manifest:
    """The Deployment: a new version's pod is ready before one of the old version's ends."""
    spec = {
        "replicas": replicas,
        "revisionHistoryLimit": 3,
        "progressDeadlineSeconds": offer.site.limits.pending + START_SECONDS,
        "selector": {"matchLabels": selecting(offer.version.name)},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "template": {
            "metadata": {
                # Nothing of the run is said here: the same version served again by another
                # run is the same template, and no pod is replaced.
                "labels": selecting(offer.version.name),
                "annotations": _content(offer),
            },
            "spec": _pod(offer),
        },
    }
    queue = {labels.QUEUE: offer.site.queue} if offer.site.queue else {}
    return _object("apps/v1", "Deployment", offer, spec, **queue)


def service(offer: Offer) -> Manifest:
    """The Service: one address for all versions."""
    spec = {
        "type": "ClusterIP",
        "selector": selecting(offer.version.name),
        "ports": [
            {
                "name": "http",
                "port": 80,
                "targetPort": "http",
                "protocol": "TCP",
                "appProtocol": "http",
            }
        ],
    }
    return _object("v1", "Service", offer, spec)


def autoscaler(offer: Offer) -> Manifest:
    """The HorizontalPodAutoscaler: quick to add replicas, slow to take them away."""
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": offer.name},
        "minReplicas": offer.scale.replicas,
        "maxReplicas": max(offer.scale.replicas, offer.scale.max_replicas),
        "metrics": [
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": TARGET_CPU_PERCENT},
                },
            }
        ],
        "behavior": {
            "scaleUp": {
                "stabilizationWindowSeconds": 0,
                "selectPolicy": "Max",
                "policies": [
                    {"type": "Percent", "value": 100, "periodSeconds": 15},
                    {"type": "Pods", "value": 2, "periodSeconds": 15},
                ],
            },
            "scaleDown": {
                "stabilizationWindowSeconds": 300,
                "selectPolicy": "Max",
                "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
            },
        },
    }
    return _object("autoscaling/v2", "HorizontalPodAutoscaler", offer, spec)


def disruption_budget(offer: Offer) -> Manifest:
    """The PodDisruptionBudget: nodes are emptied one replica at a time.

    A lone replica may be evicted, for a budget that forbids it keeps its node from ever being
    emptied: who cannot bear that moment asks for two replicas.
    """
    spec = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": selecting(offer.version.name)},
    }
    return _object("policy/v1", "PodDisruptionBudget", offer, spec)


def network_policy(offer: Offer) -> Manifest:
    """The NetworkPolicy: in to the port alone; out to names, MLflow and the store."""
    udp, tcp = ({"protocol": one, "port": 53} for one in ("UDP", "TCP"))
    site = offer.site
    reached = [site.mlflow.url, site.store.endpoint or "https://s3.amazonaws.com"]
    spec = {
        "podSelector": {"matchLabels": selecting(offer.version.name)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": PORT}]}],
        "egress": [
            {"ports": [udp, tcp]},
            *(rule for url in reached for rule in _way_to(url, offer.namespace)),
        ],
    }
    return _object("networking.k8s.io/v1", "NetworkPolicy", offer, spec)


def _way_to(url: str, namespace: str) -> list[Manifest]:
    """Rules that let out to a URL's host.

    A Service's port is not the port of its pods, which is what a policy sees; so of a Service
    all ports are open. A host with one dot may be a Service or a machine outside.
    """
    parts = urlsplit(url)
    first, *rest = (parts.hostname or "").split(".")
    service = first and (not rest or len(rest) == 1 or rest[1] == "svc")
    outside = len(rest) > 0 and rest[1:2] != ["svc"]
    space = {NAMESPACE_NAME: rest[0] if rest else namespace}
    port = parts.port or (443 if parts.scheme == "https" else 80)
    to_service = {"to": [{"namespaceSelector": {"matchLabels": space}}]}
    to_port = {"ports": [{"protocol": "TCP", "port": port}]}
    return [*([to_service] if service else []), *([to_port] if outside else [])]


def _pod(offer: Offer) -> Manifest:
    site = offer.site
    extra: Manifest = {}
    if site.pull_secrets:
        extra["imagePullSecrets"] = [{"name": one} for one in site.pull_secrets]
    if site.node_selector:
        extra["nodeSelector"] = dict(site.node_selector)
    if site.tolerations:
        extra["tolerations"] = [dict(one) for one in site.tolerations]
    return {
        # A server asks nothing of Kubernetes.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pods.pod_security(),
        "terminationGracePeriodSeconds": LAME_SECONDS + GRACE_SECONDS + LAST_SECONDS,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selecting(offer.version.name)},
            }
        ],
        "volumes": pods.volumes(),
        "initContainers": [_fetching(offer)],
        "containers": [_serving(offer)],
        **extra,
    }


def _fetching(offer: Offer) -> Manifest:
    """Before the server: it can start again although MLflow is away."""
    told = ["python", "-m", "headrace.serving.fetching", offer.version.uri, FOLDER]
    digest = ["--digest", offer.version.digest] if offer.version.digest else []
    return {"name": FETCH, "command": [*told, *digest], **_container(offer)}


def _serving(offer: Offer) -> Manifest:
    command = [
        *("python", "-m", "headrace.serving.server"),
        *("--model", offer.version.uri, "--folder", FOLDER),
        *("--host", "0.0.0.0", "--port", str(PORT)),  # noqa: S104
        *("--threads", str(_threads(offer.scale.cpu))),
        *("--lame", str(LAME_SECONDS), "--grace", str(GRACE_SECONDS)),
    ]
    return {
        "name": CONTAINER,
        "command": command,
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "startupProbe": _probe("ready", period=1, timeout=2, failures=START_SECONDS),
        "readinessProbe": _probe("ready", period=2, timeout=2, failures=3),
        "livenessProbe": _probe("live", period=10, timeout=5, failures=6),
        **_container(offer),
    }


def _container(offer: Offer) -> Manifest:
    plain = {"MLFLOW_TRACKING_URI": offer.site.mlflow.url}
    return {
        "image": offer.image,
        "env": pods.variables(plain),
        "resources": pods.resources(offer.scale.cpu, offer.scale.memory),
        "securityContext": pods.container_security(),
        "volumeMounts": pods.mounts(),
    }


def _threads(cpu: str) -> int:
    """Threads of one prediction: the whole cores among those asked for, at least one.

    >>> _threads("500m"), _threads("1.5"), _threads("4")
    (1, 1, 4)
    """
    cores = float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)
    return max(1, int(cores))


def _probe(what: str, *, period: int, timeout: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": f"/v2/health/{what}", "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def _content(offer: Offer) -> dict[str, str]:
    """Annotations that say what is served."""
    version = offer.version
    told = {
        MODEL_NAME: version.name,
        VERSION: str(version.version),
        DIGEST: version.digest,
        CODE_DIGEST: version.code,
    }
    return {key: one for key, one in told.items() if one}


def _object(api: str, kind: str, offer: Offer, spec: Manifest, **more: str) -> Manifest:
    told = {
        labels.RUN: labels.value(offer.run),
        labels.CODE: offer.version.code.removeprefix("sha256:")[:12],
    }
    marks = {ALIAS: offer.alias, ROLLOUT: offer.rollout}
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {
            "name": offer.name,
            "labels": {
                **selecting(offer.version.name),
                **{key: one for key, one in told.items() if one},
                **more,
            },
            "annotations": {
                **_content(offer),
                **{key: one for key, one in marks.items() if one},
            },
        },
        "spec": spec,
    }
