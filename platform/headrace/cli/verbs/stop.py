"""`headrace stop`: end model servers; what they have accepted is answered first."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import click

from headrace.cli.options import examples, home_option, json_option, site_options
from headrace.cli.serving_on import connect_on
from headrace.core.errors import UsageError, did_you_mean
from headrace.sites.home import Home


@click.command(
    epilog=examples(
        "headrace stop flight-delays",
        "headrace stop --all",
        "headrace stop flight-delays --on kind-team",
    )
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Stop every server of this folder or site.")
@site_options
@home_option
@json_option
def command(
    names: tuple[str, ...],
    everything: bool,
    on: str | None,
    namespace: str,
    home: Home,
    as_json: bool,
) -> int:
    """Stop the servers of the models NAME. Without a name, the only one there is."""
    known, stop, where = _servers(home, on, namespace)
    chosen = known if everything else list(names) or (known if len(known) == 1 else [])
    if not chosen and known:
        raise UsageError(
            f"{len(known)} servers are running: which one?",
            hint=f"headrace stop {known[0]}, or headrace stop --all",
        )
    for name in chosen:
        if name not in known:
            hint = did_you_mean(name, known) or "no server is running there"
            raise UsageError(f"No server of {name!r} is running.", where=where, hint=hint)
    stopped = [name for name in chosen if stop(name)]
    if as_json:
        from headrace.cli.console import write_json

        write_json({"stopped": stopped})
    elif stopped:
        click.echo(f"Stopped {', '.join(stopped)}.")
    else:
        click.echo("No server is running there." if on else "No server is running here.")
    return 0


def _servers(
    home: Home, on: str | None, namespace: str
) -> tuple[list[str], Callable[[str], bool], str]:
    """The models that are served, how to stop one, and where that is."""
    if on:
        from headrace.serving import deployed

        cluster = connect_on(on, namespace)
        names = [one.name for one in deployed.running(cluster)]
        return names, partial(deployed.stop, cluster), cluster.where
    if namespace:
        raise UsageError("--namespace is of a cluster.", hint="name one with --on CONTEXT")
    from headrace.serving import local

    return [one.name for one in local.running(home)], partial(local.stop, home), str(home.root)
