"""The pod that serves a version: it fetches the model, then answers. Pure."""

from __future__ import annotations

from headrace.cluster import pods
from headrace.cluster.client import Manifest
from headrace.cluster.quantities import amount
from headrace.serving.offers import Offer, selecting

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


def pod(offer: Offer) -> Manifest:
    """The pod's spec."""
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
    return max(1, int(amount(cpu)))


def _probe(what: str, *, period: int, timeout: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": f"/v2/health/{what}", "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }
