"""Serving on a cluster as the command line shows it: roll out, list, and the way there."""

from __future__ import annotations

import dataclasses
import signal
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

if TYPE_CHECKING:
    from headrace.cluster.client import Cluster
    from headrace.registry.needs import Servable
    from headrace.serving.deployed import Deployed

_PATIENCE_SECONDS = 60.0
_LOCAL = "http://127.0.0.1:8500"


def connect_on(context: str, namespace: str) -> Cluster:
    """The cluster of a context; it is asked again for a while when it does not answer."""
    from headrace.cluster.contexts import connect

    return connect(context, namespace, patience=_PATIENCE_SECONDS, on_wait=_tell)


def serve_on(
    context: str,
    namespace: str,
    name: str,
    alias: str,
    version: str,
    *,
    replicas: int | None,
    max_replicas: int | None,
    cpu: str | None,
    memory: str | None,
    forward: bool,
    as_json: bool,
) -> int:
    """Roll a version out, and say how to reach it."""
    from headrace.cluster.forwarding import reach
    from headrace.registry.needs import servable
    from headrace.serving import deployed
    from headrace.sites.cluster import discover

    cluster = connect_on(context, namespace)
    site = discover(cluster)
    scale = deployed.scale_of(
        site,
        replicas=replicas or 1,
        max_replicas=max_replicas or 3,
        cpu=cpu or "",
        memory=memory or "",
    )
    with reach(cluster, site.mlflow.url, site.mlflow.client_url) as tracking_uri:
        found = servable(tracking_uri, name, version or alias)
    done = deployed.serve(cluster, site, found, alias=alias, scale=scale, tell=_tell)
    if as_json:
        from headrace.cli.console import write_json

        write_json(deployed_object(done, context))
    else:
        _show(done, found, context)
    if forward:
        _keep_open(cluster, done)
    return 0


def list_on(context: str, namespace: str, *, as_json: bool) -> int:
    """List the models that are served at a site."""
    from headrace.cli import console
    from headrace.serving.deployed import running

    found = running(connect_on(context, namespace))
    if as_json:
        console.write_json([deployed_object(one, context) for one in found])
    elif found:
        console.show(_table(found))
    else:
        click.echo(f"Nothing is served there. Roll out: headrace serve NAME --on {context}")
    return 0


def deployed_object(served: Deployed, context: str) -> dict[str, Any]:
    """A served model for programs: what is known of it, its `context` and its `endpoint`."""
    return {**dataclasses.asdict(served), "context": context, "endpoint": served.endpoint}


def _show(served: Deployed, version: Servable, context: str) -> None:
    from headrace.serving.examples import request_line

    alias = f" ({served.alias})" if served.alias else ""
    click.echo(f"{served.name} version {served.version}{alias} at {served.endpoint}")
    again = f"headrace stop {served.name} --on {context} -n {served.namespace}"
    click.echo(f"{served.ready} of {served.replicas} replicas ready; {again} ends it\n")
    where = f"--context {context} -n {served.namespace}"
    click.echo(f"kubectl {where} port-forward service/{served.service} 8500:80")
    head, _, body = request_line(version.signature, version.example, _LOCAL).partition(" -d ")
    click.echo(f"{head} \\\n  -d {body}")


def _keep_open(cluster: Cluster, served: Deployed) -> None:
    from headrace.cluster.forwarding import forward

    with forward(cluster, served.service, 80) as address:
        click.echo(f"\nhttp://{address} leads there until Ctrl-C.")
        try:
            signal.pause()
        except KeyboardInterrupt:
            click.echo()


def _table(found: list[Deployed]) -> Any:
    from headrace.cli.render.quantities import moment
    from headrace.cli.render.tables import cut, plain_table

    table = plain_table("model", "version", "replicas", "endpoint", "since", "rolled out by")
    for one in found:
        table.add_row(
            Text(one.name, style="bold"),
            f"{one.version} ({one.alias})" if one.alias else one.version,
            f"{one.ready} of {one.replicas}",
            one.endpoint,
            Text(moment(one.started), style="dim"),
            cut(one.run or "headrace serve", "dim"),
        )
    return table


def _tell(line: str) -> None:
    click.echo(line, err=True)
