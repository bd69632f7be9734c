"""A site on a cluster: a context, a namespace, and what the ConfigMap there says of the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import yaml

from headrace.cluster.client import Cluster
from headrace.core.errors import EnvironmentProblem, did_you_mean

CONFIG_MAP = "headrace-site"
"""The ConfigMap that makes a namespace a site."""
KEY = "site.yaml"
"""Its entry that describes the site."""


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Where artifacts, code and records lie."""

    url: str
    """Bucket and prefix: `s3://BUCKET/PREFIX`."""
    endpoint: str = ""
    """The S3 service as pods reach it; empty for AWS's own."""
    client_endpoint: str = ""
    """The same as a client outside of the cluster reaches it; `endpoint` unless given."""
    region: str = "us-east-1"
    """The bucket's region."""
    secret: str = ""
    """Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; empty where pods need none."""


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """A service of the site's."""

    url: str = ""
    """As pods reach it; empty if the site has none."""
    client_url: str = ""
    """As a client outside reaches it; empty for a tunnel through the API server."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a step's pod asks for unless the step says otherwise, in Kubernetes' notation."""

    cpu: str = "1"
    """Cores."""
    memory: str = "2Gi"
    """Memory, request and limit."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long things may last, in seconds."""

    step: int = 24 * 3600
    """A step's pod, and everything that it owns."""
    keep: int = 600
    """Finished objects that nobody has collected."""
    pending: int = 900
    """A pod that finds no room. What needs somebody's help, such as a missing Secret or image,
    is given up after two minutes."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a site's ConfigMap says."""

    store: StoreSettings
    """The object store."""
    mlflow: ServiceSettings = field(default_factory=ServiceSettings)
    """MLflow's tracking server."""
    kfp: ServiceSettings = field(default_factory=ServiceSettings)
    """Kubeflow Pipelines' API."""
    images: Mapping[str, str] = field(default_factory=dict)
    """The image of each kind: `python`, `spark`, `ray`, `serve`."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """What the images hold: `python` (3.12), `headrace`, `kfp`, `mlflow`, `spark`, `hadoop`, …"""
    pull_secrets: tuple[str, ...] = ()
    """Secrets with which images are pulled."""
    service_account: str = "headrace-step"
    """The account of step pods."""
    defaults: Mapping[str, Resources] = field(default_factory=dict)
    """What a step's own pod asks for, by the kind of its engine."""
    limits: Limits = field(default_factory=Limits)
    """Deadlines."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of the nodes that pods go to."""
    tolerations: tuple[Mapping[str, Any], ...] = ()
    """Taints that pods tolerate."""
    ray_cluster: str = ""
    """A RayCluster that stays, which Ray steps use instead of one of their own."""
    queue: str = ""
    """The Kueue LocalQueue that admits everything."""
    served_to: tuple[str, ...] = ()
    """Namespaces whose pods may call served models, beside the site's own; `*` for all."""

    def resources(self, kind: str) -> Resources:
        """What the pod of a step of this kind asks for."""
        return self.defaults.get(kind) or self.defaults.get("python") or Resources()

    def to_json(self) -> str:
        """As pods are given it."""
        return json.dumps(asdict(self), sort_keys=True)


def parse(raw: Mapping[str, Any], *, where: str) -> Site:
    """A site from the ConfigMap's mapping.

    Raises:
        EnvironmentProblem: Something is missing, misspelt or of the wrong shape.
    """
    nested: dict[str, Any] = {
        "store": StoreSettings, "mlflow": ServiceSettings, "kfp": ServiceSettings, "limits": Limits,
    }  # fmt: skip
    _check(raw, Site, where, "")
    values: dict[str, Any] = dict(raw)
    for key, kind in nested.items():
        if key in values:
            values[key] = _made(values[key], kind, where, key)
    values["defaults"] = {
        key: _made(one, Resources, where, f"defaults.{key}")
        for key, one in (values.get("defaults") or {}).items()
    }
    for key in ("pull_secrets", "tolerations", "served_to"):
        values[key] = tuple(values.get(key) or ())
    for key in ("images", "versions", "node_selector"):
        values[key] = {name: str(one) for name, one in (values.get(key) or {}).items()}
    site: Site = _made(values, Site, where, "")
    return site


def discover(cluster: Cluster) -> Site:
    """The site that a context and namespace hold.

    Raises:
        EnvironmentProblem: The namespace is not a site, or its description is wrong.
    """
    where = f"{cluster.where}, ConfigMap {CONFIG_MAP}"
    found = cluster.get("configmaps", CONFIG_MAP)
    if found is None:
        raise EnvironmentProblem(
            f"The namespace {cluster.namespace!r} is not a site of Headrace.",
            where=where,
            hint="`headrace sites` finds those there are; install the chart to make one: "
            f"helm install headrace helm/headrace -n {cluster.namespace}",
        )
    try:
        raw = yaml.safe_load(found.get("data", {}).get(KEY, ""))
    except yaml.YAMLError as error:
        raise EnvironmentProblem(f"{KEY} is not YAML: {error}", where=where) from error
    if not isinstance(raw, dict):
        raise EnvironmentProblem(f"{KEY} says nothing.", where=where)
    return parse(raw, where=where)


def _made(raw: Any, kind: Any, where: str, key: str) -> Any:
    if isinstance(raw, kind):
        return raw
    _check(raw, kind, where, key)
    try:
        return kind(**raw)
    except TypeError as error:
        missing = str(error).rpartition(": ")[2]
        raise EnvironmentProblem(
            f"{KEY} lacks {missing} {f'in {key}' if key else ''}".rstrip() + ".", where=where
        ) from error


def _check(raw: Any, kind: Any, where: str, key: str) -> None:
    if not isinstance(raw, Mapping):
        raise EnvironmentProblem(f"{key or KEY} must be a mapping, not {raw!r}.", where=where)
    known = [one.name for one in fields(kind)]
    for name in raw:
        if name not in known:
            raise EnvironmentProblem(
                f"{KEY} has an unknown setting {f'{key}.{name}'.lstrip('.')!r}.",
                where=where,
                hint=did_you_mean(str(name), known),
            )
