"""A site as a client sees it: its cluster, its settings and a way to its store."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

from headrace.cluster.client import Cluster
from headrace.cluster.contexts import connect
from headrace.cluster.forwarding import reach
from headrace.data.store import Store, store_of
from headrace.executing.surroundings import secret_values
from headrace.sites.cluster import Site, discover

PATIENCE = 600.0
"""Seconds for which a run goes on asking a cluster that does not answer."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A site as a client sees it."""

    cluster: Cluster
    """The cluster."""
    site: Site
    """What the site says."""
    store: Store
    """Its store, as it is reached from here."""


def target(context: str, namespace: str, ways: ExitStack) -> Target:
    """The site of a context and namespace, with a way to its store.

    Args:
        context: The kubeconfig's context.
        namespace: The namespace; the context's own unless given.
        ways: Holds tunnels open.

    Raises:
        UsageError: There is no such context.
        EnvironmentProblem: No site is there, or it cannot be used from here.
    """
    probing = connect(context, namespace)
    site = discover(probing)
    credentials = None
    if site.store.secret:
        credentials = secret_values(probing, site.store.secret)
    endpoint = ""
    if site.store.endpoint:
        way = reach(probing, site.store.endpoint, site.store.client_endpoint)
        endpoint = ways.enter_context(way)
    settings = type(site.store)(**{**vars(site.store), "client_endpoint": endpoint})
    store = store_of(settings, outside=True, credentials=credentials)
    return Target(cluster=replace(probing, patience=PATIENCE), site=site, store=store)
