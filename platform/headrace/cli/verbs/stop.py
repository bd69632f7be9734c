"""`headrace stop`: end model servers; what they have accepted is answered first."""

from __future__ import annotations

import click

from headrace.cli.options import examples, home_option, json_option
from headrace.core.errors import UsageError, did_you_mean
from headrace.sites.home import Home


@click.command(epilog=examples("headrace stop flight-delays", "headrace stop --all"))
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Stop every server of this folder.")
@home_option
@json_option
def command(names: tuple[str, ...], everything: bool, home: Home, as_json: bool) -> int:
    """Stop the servers of the models NAME. Without a name, the only one there is."""
    from headrace.serving.local import running, stop

    known = [one.name for one in running(home)]
    chosen = known if everything else list(names) or (known if len(known) == 1 else [])
    if not chosen and known:
        raise UsageError(
            f"{len(known)} servers are running: which one?",
            hint=f"headrace stop {known[0]}, or headrace stop --all",
        )
    for name in chosen:
        if name not in known:
            hint = did_you_mean(name, known) or "no server is running in this folder"
            raise UsageError(f"No server of {name!r} is running.", where=str(home.root), hint=hint)
    stopped = [name for name in chosen if stop(home, name)]
    if as_json:
        from headrace.cli.console import write_json

        write_json({"stopped": stopped})
    elif stopped:
        click.echo(f"Stopped {', '.join(stopped)}.")
    else:
        click.echo("No server is running here.")
    return 0
