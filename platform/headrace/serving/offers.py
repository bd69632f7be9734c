"""A version to be served on a cluster: what is asked for, and what its objects are called. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.cluster import labels
from headrace.registry.needs import Servable
from headrace.sites.cluster import Site

ROLE = "server"
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
    cpu: str = "250m"
    """Cores that a replica asks for, in Kubernetes' notation. It may use more; but the more it
    asks for, the more a node must have free twice over while one version follows another."""
    memory: str = "1Gi"
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


def content(offer: Offer) -> dict[str, str]:
    """Annotations that say what is served."""
    version = offer.version
    told = {
        MODEL_NAME: version.name,
        VERSION: str(version.version),
        DIGEST: version.digest,
        CODE_DIGEST: version.code,
    }
    return {key: one for key, one in told.items() if one}
