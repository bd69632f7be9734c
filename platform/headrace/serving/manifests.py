"""What serves a version on a cluster, as manifests. Pure: the same offer gives the same objects.

All objects of a model bear one name, which its versions share. What changes when another
version is served is the pods' template alone, so that Kubernetes rolls it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from headrace.cluster import labels
from headrace.cluster.client import Manifest
from headrace.serving.offers import ALIAS, ROLLOUT, Offer, content, selecting
from headrace.serving.server_pod import PORT, START_SECONDS, pod

TARGET_CPU_PERCENT = 70
"""Of the cores asked for: above, replicas are added."""
ANYBODY = "*"
"""In place of namespaces: all of them."""
NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label of a namespace that Kubernetes itself sets."""


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
                "annotations": content(offer),
            },
            "spec": pod(offer),
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
    """The NetworkPolicy: in to the port alone, from this namespace and those that the site names;
    out to names, MLflow and the store.
    """
    udp, tcp = ({"protocol": one, "port": 53} for one in ("UDP", "TCP"))
    site = offer.site
    reached = [site.mlflow.url, site.store.endpoint or "https://s3.amazonaws.com"]
    spec = {
        "podSelector": {"matchLabels": selecting(offer.version.name)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": PORT}], **_callers(site.served_to)}],
        "egress": [
            {"ports": [udp, tcp]},
            *(rule for url in reached for rule in _way_to(url, offer.namespace)),
        ],
    }
    return _object("networking.k8s.io/v1", "NetworkPolicy", offer, spec)


def _callers(namespaces: Sequence[str]) -> Manifest:
    """From where a rule lets in."""
    if ANYBODY in namespaces:
        return {}
    others = [{"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: one}}} for one in namespaces]
    return {"from": [{"podSelector": {}}, *others]}


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
                **content(offer),
                **{key: one for key, one in marks.items() if one},
            },
        },
        "spec": spec,
    }
