"""A site's pages as the command line opens them: MLflow's, Kubeflow Pipelines' and Ray's."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from headrace.core.errors import EnvironmentProblem

if TYPE_CHECKING:
    from headrace.cluster.client import Cluster
    from headrace.sites.cluster import Site

_PIPELINES_UI = "ml-pipeline-ui"
_RAY_HEAD = "ray.io/node-type=head"


def open_on(
    context: str,
    namespace: str,
    what: str,
    port: int | None,
    on_ready: Callable[[str], None],
) -> int:
    """Lead to a site's pages until Ctrl-C.

    Args:
        context: The kubeconfig's context.
        namespace: The site's namespace; the context's own if empty.
        what: `mlflow`, `pipelines` or `ray`.
        port: The port of this machine, where there is a tunnel; any unless given.
        on_ready: Called with the URL.

    Raises:
        EnvironmentProblem: The site has none, or there is no way to it.
    """
    from headrace.cli.serving_on import connect_on
    from headrace.cluster.forwarding import reach
    from headrace.sites.cluster import discover

    cluster = connect_on(context, namespace)
    url, outside = _address(cluster, discover(cluster), what)
    with reach(cluster, url, outside, port=port or 0) as address:
        on_ready(address)
        try:
            signal.pause()
        except KeyboardInterrupt:
            click.echo(err=True)
    return 0


def _address(cluster: Cluster, site: Site, what: str) -> tuple[str, str]:
    """The URL of the pages as pods reach it, and as people do where the site says so."""
    match what:
        case "mlflow" if site.mlflow.url:
            return site.mlflow.url, site.mlflow.client_url
        case "pipelines" if site.kfp.url:
            host = (urlsplit(site.kfp.url).hostname or "").partition(".")[2]
            beside = f"{_PIPELINES_UI}.{host}" if host else _PIPELINES_UI
            return f"http://{beside}:80", site.kfp.client_url
        case "ray":
            from headrace.engines.ray_kubernetes import DASHBOARD_PORT

            return f"http://{_ray_head(cluster)}:{DASHBOARD_PORT}", ""
    names = {"mlflow": "no MLflow", "pipelines": "no Kubeflow Pipelines"}
    raise EnvironmentProblem(f"The site has {names[what]}.", where=cluster.where)


def _ray_head(cluster: Cluster) -> str:
    """The Service of the Ray cluster that is there: the one that stays, or a step's."""
    heads: dict[str, str] = {
        one["metadata"]["name"]: one["metadata"].get("creationTimestamp", "")
        for one in cluster.list("services", _RAY_HEAD)
    }
    if not heads:
        raise EnvironmentProblem(
            "There is no Ray cluster now.",
            where=cluster.where,
            hint="one comes with each Ray step and goes with it, unless the site has one that "
            "stays (rayCluster of the chart's values)",
        )
    newest = max(heads, key=lambda name: heads[name])
    if len(heads) > 1:
        others = ", ".join(sorted(set(heads) - {newest}))
        click.echo(f"{newest} is the newest; there are {others} as well.", err=True)
    return newest
