"""Runs that a site's Kubeflow Pipelines drives: which there are, and what has become of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from headrace.cluster.client import Cluster
from headrace.cluster.forwarding import reach
from headrace.core.errors import HeadraceError
from headrace.operating.access import Access
from headrace.running.kubeflow import listing as lists
from headrace.running.kubeflow import runs as kubeflow
from headrace.running.kubeflow.server import Server
from headrace.sites.cluster import Site
from headrace.sites.journal import Event


@contextmanager
def server_of(cluster: Cluster, site: Site) -> Iterator[Server]:
    """The connection to a site's Kubeflow Pipelines, through a tunnel if need be.

    Raises:
        HeadraceError: There is no way to it.
    """
    with reach(cluster, site.kfp.url, site.kfp.client_url) as url:
        yield kubeflow.connect(url, cluster.namespace)


def listing(there: Access) -> list[lists.Listed]:
    """Its newest runs, oldest first; none where the site has no KFP.

    Raises:
        HeadraceError: It does not answer, or does not let us in.
    """
    with _server(there) as server:
        return lists.listing(server) if server else []


def recall(there: Access, run: str, site: Mapping[str, str]) -> list[Event]:
    """What has become of a run, as its own journal would tell; nothing if KFP cannot say.

    Args:
        there: The site.
        run: KFP's id of the run.
        site: Context, namespace and driver, as journals have them.
    """
    try:
        with _server(there) as server:
            told = kubeflow.so_far(run, server) if server else []
    except HeadraceError:
        return []
    return [{**one, "site": dict(site), "pid": None} for one in told[:1]] + told[1:]


@contextmanager
def _server(there: Access) -> Iterator[Server | None]:
    if there.cluster is None or there.site is None or not there.site.kfp.url:
        yield None
        return
    with server_of(there.cluster, there.site) as server:
        yield server
