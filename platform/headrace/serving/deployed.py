"""Servers of a site on a cluster: roll out, stop, list.

A server outlives the command or step that asked for it, and the run too; what is known of it
stands in its objects' labels and annotations.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from headrace.cluster import contexts, labels
from headrace.cluster.client import Cluster, Manifest
from headrace.core.errors import EnvironmentProblem, UsageError
from headrace.registry.needs import Servable
from headrace.serving import offers, restoring
from headrace.serving.fitting import fit
from headrace.serving.offers import Offer, Scale
from headrace.serving.rollout import roll_out
from headrace.sites.cluster import CONFIG_MAP, Site, discover, parse

_SITE = "HEADRACE_SITE"
_RUN = "HEADRACE_RUN"
_KFP_POD = "KFP_POD_NAME"
_KFP_RUN = "pipeline/runid"


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A model that is served on a cluster."""

    name: str
    """The registered model's name."""
    version: str
    """The version."""
    alias: str
    """The alias that was resolved to it; empty if a version was asked for."""
    digest: str
    """The version's digest; empty if unknown."""
    namespace: str
    """Where it is served."""
    service: str
    """Its Service, Deployment and so on."""
    replicas: int
    """How many replicas there are to be."""
    ready: int
    """How many of them answer."""
    run: str
    """The pipeline run that rolled it out, as its label says; empty if a person did."""
    started: float
    """When it was first made, in unix seconds."""

    @property
    def endpoint(self) -> str:
        """The base URL within the cluster."""
        return offers.endpoint(self.name, self.namespace)


def here() -> tuple[Cluster, Site] | None:
    """The cluster and site around this process, if it is a step's pod; else None.

    Raises:
        EnvironmentProblem: The pod's namespace is no site, or the pod may not read it.
    """
    if _SITE in os.environ:
        told = json.loads(os.environ[_SITE])
        return contexts.inside(), parse(told, where=f"the environment variable {_SITE}")
    if _KFP_POD in os.environ and contexts.is_inside():
        cluster = contexts.inside()
        return cluster, discover(cluster)
    return None


def scale_of(
    site: Site, *, replicas: int = 1, max_replicas: int = 3, cpu: str = "", memory: str = ""
) -> Scale:
    """How many replicas there may be and what each has.

    Where `cpu` or `memory` is empty, it is what the site's `defaults.serve` says.

    Raises:
        UsageError: There would be none.
    """
    if replicas < 1:
        raise UsageError(
            f"{replicas} replicas serve nothing.", hint="replicas=1, or headrace stop to end it"
        )
    usual = site.defaults.get("serve") or Scale()
    return Scale(
        replicas=replicas,
        max_replicas=max(replicas, max_replicas),
        cpu=cpu or usual.cpu,
        memory=memory or usual.memory,
    )


def serve(
    cluster: Cluster,
    site: Site,
    version: Servable,
    *,
    alias: str,
    scale: Scale,
    run: str = "",
    tell: Callable[[str], None] = print,
) -> Deployed:
    """Serve a version, and return once it answers.

    Args:
        cluster: Where.
        site: What the cluster has for us.
        version: The version.
        alias: The alias that was resolved to it, for the record; empty for none.
        scale: Replicas and what each has.
        run: The pipeline run that asks.
        tell: Told what happens, a line each.

    Raises:
        EnvironmentProblem: The site cannot serve it.
        StepFailed: It did not become ready; what was there before is there again.
    """
    if not site.mlflow.url:
        hint = f"name it as mlflow.url in the ConfigMap {CONFIG_MAP}"
        raise EnvironmentProblem("The site has no MLflow.", where=cluster.where, hint=hint)
    found = fit(version, site)
    for note in found.notes:
        tell(f"note: {version.uri} was {note}")
    offer = Offer(
        version=version,
        alias=alias,
        image=found.image,
        scale=scale,
        site=site,
        namespace=cluster.namespace,
        run=run,
        rollout=secrets.token_hex(8),
    )
    roll_out(cluster, offer, tell)
    made = cluster.get("deployments", offer.name)
    assert made is not None
    return _deployed(made)


def stop(cluster: Cluster, name: str) -> bool:
    """Take away all that serves a model; pods answer what they have accepted. False if nothing."""
    chosen = labels.selector(offers.selecting(name))
    gone = [one for kind in restoring.KINDS for one in cluster.delete_all(kind, chosen)]
    return bool(gone)


def running(cluster: Cluster) -> list[Deployed]:
    """The models that are served in a namespace, by name."""
    chosen = labels.selector(offers.selecting())
    found = [_deployed(one) for one in cluster.list("deployments", chosen)]
    return sorted(found, key=lambda one: one.name)


def scale_now(cluster: Cluster, served: Deployed) -> Scale:
    """How many replicas a served model may have now, and what each has."""
    deployment = cluster.get("deployments", served.service) or {}
    autoscaler = cluster.get("horizontalpodautoscalers", served.service) or {}
    limits = autoscaler.get("spec", {})
    pod = deployment.get("spec", {}).get("template", {}).get("spec", {})
    asked = [one["resources"]["requests"] for one in pod.get("containers", [])]
    usual = Scale()
    return Scale(
        replicas=limits.get("minReplicas", usual.replicas),
        max_replicas=limits.get("maxReplicas", usual.max_replicas),
        cpu=asked[0]["cpu"] if asked else usual.cpu,
        memory=asked[0]["memory"] if asked else usual.memory,
    )


def run_of_step(cluster: Cluster) -> str:
    """The run that this step's pod belongs to; empty if none is known."""
    if _RUN in os.environ:
        return os.environ[_RUN]
    pod = cluster.get("pods", os.environ.get(_KFP_POD, "")) if _KFP_POD in os.environ else None
    return str(pod["metadata"].get("labels", {}).get(_KFP_RUN, "")) if pod else ""


def _deployed(found: Manifest) -> Deployed:
    meta = found["metadata"]
    told, tags = meta.get("annotations", {}), meta.get("labels", {})
    return Deployed(
        name=told.get(offers.MODEL_NAME, ""),
        version=restoring.version_of(found),
        alias=told.get(offers.ALIAS, ""),
        digest=told.get(offers.DIGEST, ""),
        namespace=meta["namespace"],
        service=meta["name"],
        replicas=found["spec"].get("replicas", 1),
        ready=found.get("status", {}).get("readyReplicas", 0),
        run=tags.get(labels.RUN, ""),
        started=datetime.fromisoformat(meta["creationTimestamp"]).timestamp(),
    )
