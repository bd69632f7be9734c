"""`headrace serve`: answer predictions with a registered version, here or on a cluster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.options import examples, home_option, json_option, shown, site_options
from headrace.cli.serving_on import list_on, serve_on
from headrace.core.errors import UsageError
from headrace.sites.home import Home

if TYPE_CHECKING:
    from headrace.serving.records import ServerRecord

_MODEL = re.compile(r"(models:/)?(?P<name>[^@/]+)(@(?P<alias>[^@/]+)|/(?P<version>\d+))?", re.ASCII)


@click.command(
    epilog=examples(
        "headrace serve flight-delays",
        "headrace serve flight-delays@champion --port 8600",
        "headrace serve flight-delays/3",
        "headrace serve",
        "headrace serve flight-delays --on kind-team --replicas 2",
    )
)
@click.argument("model", required=False)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="[default: where the model is served now, or the first free one from 8500]",
)
@site_options
@click.option("--replicas", type=click.IntRange(1), help="The fewest pods.  [default: 1]")
@click.option("--max-replicas", type=click.IntRange(1), help="The most.  [default: 3]")
@click.option("--cpu", metavar="CORES", help="Of a pod.  [default: what the site says]")
@click.option("--memory", metavar="SIZE", help="Of a pod, such as 2Gi.  [default: likewise]")
@click.option("--forward", is_flag=True, help="Keep a way from this machine open until Ctrl-C.")
@home_option
@json_option
def command(
    model: str | None,
    port: int,
    on: str | None,
    namespace: str,
    home: Home,
    as_json: bool,
    **more: Any,
) -> int:
    """Serve MODEL: NAME (its champion), NAME@ALIAS or NAME/VERSION; without MODEL, list servers.

    The server stays when this command ends, and another version takes its port over
    without a request failing. `headrace stop NAME` ends it.

    With --on it is served on a cluster, from the registry of the site there. If the version
    cannot be served, the one before stays.
    """
    if on:
        if port:
            raise UsageError("--port is of this machine.", hint="on a cluster it is always 80")
        if model is None:
            return list_on(on, namespace, as_json=as_json)
        return serve_on(on, namespace, *parse_model(model), as_json=as_json, **more)
    if given := [name for name, value in {**more, "namespace": namespace}.items() if value]:
        option = given[0].replace("_", "-")
        raise UsageError(f"--{option} is of a cluster.", hint="name one with --on CONTEXT")
    if model is None:
        return _list(home, as_json=as_json)
    name, alias, version = parse_model(model)
    from headrace.cli.console import waiting
    from headrace.registry.catalog import resolve
    from headrace.registry.database import prepare
    from headrace.serving.local import start

    home.ensure()
    prepare(home.database, artifacts=home.mlartifacts)
    with waiting(f"starting the server of {name}"):
        number, uri = resolve(home.tracking_uri, name, version or alias)
        record = start(home, name, uri, str(number), alias, port)
    _tell(record, home, as_json=as_json)
    return 0


def parse_model(text: str) -> tuple[str, str, str]:
    """Name, alias and version; the alias is `champion` where neither is given.

    >>> parse_model("flights"), parse_model("flights@next"), parse_model("models:/flights/3")
    (('flights', 'champion', ''), ('flights', 'next', ''), ('flights', '', '3'))

    Raises:
        UsageError: It has another form.
    """
    match = _MODEL.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} names no model.", hint="write NAME, NAME@ALIAS or NAME/VERSION (a number)"
        )
    version = match["version"] or ""
    return match["name"], "" if version else match["alias"] or "champion", version


def server_object(record: ServerRecord, home: Home) -> dict[str, Any]:
    """A server for programs.

    Keys: `name`, `version`, `alias`, `endpoint`, `port`, `pid`, `started`, `run`, `log`.
    """
    from headrace.serving.local import log_path

    return {
        "name": record.name,
        "version": record.version,
        "alias": record.alias,
        "endpoint": record.endpoint,
        "port": record.port,
        "pid": record.pid,
        "started": record.started,
        "run": record.run_id,
        "log": str(log_path(home, record.name)),
    }


def _tell(record: ServerRecord, home: Home, *, as_json: bool) -> None:
    if as_json:
        from headrace.cli.console import write_json

        write_json(server_object(record, home))
        return
    from headrace.cli.telling import call_lines
    from headrace.serving.local import log_path

    alias = f" ({record.alias})" if record.alias else ""
    click.echo(f"{record.name} version {record.version}{alias} at {record.endpoint}")
    click.echo(f"log {shown(log_path(home, record.name))}; headrace stop {record.name} ends it\n")
    click.echo("\n".join(call_lines(record)))


def _list(home: Home, *, as_json: bool) -> int:
    from headrace.cli import console
    from headrace.serving.local import running

    records = running(home)
    if as_json:
        console.write_json([server_object(one, home) for one in records])
    elif records:
        from headrace.cli.render.tables import servers_table

        console.show(servers_table(records))
    else:
        click.echo("No server is running here. Start one: headrace serve NAME")
    return 0
