"""Which sites there are: the kubeconfig's contexts, and the namespaces there that are sites."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from urllib.parse import quote

from headrace.cluster.client import Cluster
from headrace.cluster.contexts import connect, contexts
from headrace.cluster.errors import Forbidden, Unreachable
from headrace.core.errors import HeadraceError
from headrace.sites.cluster import CONFIG_MAP, Site, discover

PATIENCE = 3.0
"""Seconds that a context has to answer."""


@dataclass(frozen=True, kw_only=True)
class FoundSite:
    """A namespace that is a site."""

    namespace: str
    """The namespace."""
    site: Site | None
    """What it says; None if that cannot be read."""
    problem: HeadraceError | None = None
    """Why it cannot."""


@dataclass(frozen=True, kw_only=True)
class FoundContext:
    """A context, and the sites that it shows."""

    context: str
    """Its name in the kubeconfig."""
    sites: tuple[FoundSite, ...] = ()
    """Its sites, by namespace."""
    everywhere: bool = True
    """Whether all namespaces were seen, or the context's own alone."""
    problem: HeadraceError | None = None
    """Why nothing can be said of it."""


def find_sites(*, patience: float = PATIENCE) -> list[FoundContext]:
    """Every context of the kubeconfig with its sites. Contexts are asked side by side.

    Args:
        patience: Seconds that each has to answer.

    Raises:
        ClusterProblem: There is no kubeconfig.
    """
    names = sorted(contexts())
    found: dict[str, FoundContext] = {}

    def look(name: str) -> None:
        found[name] = in_context(name)

    # Threads that nobody waits for at the end: a host that swallows packets would hold us up.
    threads = [threading.Thread(target=look, args=(name,), daemon=True) for name in names]
    for one in threads:
        one.start()
    until = time.monotonic() + patience
    for one in threads:
        one.join(max(0.0, until - time.monotonic()))
    return [found.get(name) or _silent(name, patience) for name in names]


def in_context(name: str) -> FoundContext:
    """The sites of one context."""
    try:
        cluster = connect(name)
        try:
            sites, everywhere = _everywhere(cluster), True
        except Forbidden:
            sites, everywhere = _here(cluster), False
    except HeadraceError as error:
        return FoundContext(context=name, problem=error)
    return FoundContext(context=name, sites=tuple(sites), everywhere=everywhere)


def _everywhere(cluster: Cluster) -> list[FoundSite]:
    selector = quote(f"metadata.name={CONFIG_MAP}")
    found = cluster.ask(f"/api/v1/configmaps?fieldSelector={selector}")["items"]
    spaces = sorted(one["metadata"]["namespace"] for one in found)
    return [_read(replace(cluster, namespace=one)) for one in spaces]


def _here(cluster: Cluster) -> list[FoundSite]:
    return [_read(cluster)] if cluster.get("configmaps", CONFIG_MAP) else []


def _read(cluster: Cluster) -> FoundSite:
    try:
        return FoundSite(namespace=cluster.namespace, site=discover(cluster))
    except HeadraceError as error:
        return FoundSite(namespace=cluster.namespace, site=None, problem=error)


def _silent(name: str, patience: float) -> FoundContext:
    problem = Unreachable(f"The cluster did not answer within {patience:g} s.", where=name)
    return FoundContext(context=name, problem=problem)
