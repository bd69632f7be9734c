"""`headrace backup`: keeps a site's databases and store, so that they can be had again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from headrace.cli.options import examples, json_option, one_site_options


@click.command(
    epilog=examples(
        "headrace backup --on prod -n ml",
        "headrace backup --on prod -n ml --list",
        "headrace restore --on prod -n ml",
    )
)
@one_site_options
@click.option("--list", "listing", is_flag=True, help="Only show the backups that there are.")
@click.option("--adopt", is_flag=True, help="Go on from backups of a site that was here before.")
@json_option
def command(on: str, namespace: str, listing: bool, adopt: bool, as_json: bool) -> int:
    """Take a backup of a site: MLflow's database, Kubeflow Pipelines' databases, the store.

    It goes to where `backup.to` of the chart says, and holds what no earlier one has. Pods of the
    site do the work: first the databases are dumped, then the store is copied, so that all that
    the databases name is in it. Runs may go on meanwhile; those that do are named, and their
    records end in the middle. `backup.schedule` of the chart takes backups by itself.
    """
    from headrace.cli.console import waiting, write_json
    from headrace.cli.serving_on import connect_on
    from headrace.operating import backups

    cluster = connect_on(on, namespace)
    if listing:
        with waiting("asking the place for backups"):
            found = backups.known(cluster, _nothing)
        if as_json:
            write_json(found)
        elif found:
            _show(found)
        else:
            click.echo(
                f"There is no backup. Take one: headrace backup --on {on}{_space(namespace)}"
            )
        return 0
    made = backups.take(cluster, _tell, adopt=adopt)
    if as_json:
        write_json(made)
    else:
        _sum_up(made, f"headrace restore {made['name']} --on {on}{_space(namespace)}")
    return 0


def _show(found: Sequence[Mapping[str, Any]]) -> None:
    from headrace.cli.console import show
    from headrace.cli.render.quantities import duration, moment, size
    from headrace.cli.render.tables import cut, plain_table

    table = plain_table("backup", "taken", "took", "objects", "size", "new", "served")
    for one in found:
        served = ", ".join(f"{model['model']} {model['version']}" for model in one["served"])
        table.add_row(
            one["name"], moment(one["began"]), duration(one["seconds"]), str(one["objects"]),
            size(one["size"]), size(one["copied"]), cut(served or "nothing", "dim"),
        )  # fmt: skip
    show(table)


def _sum_up(made: Mapping[str, Any], again: str) -> None:
    from headrace.cli.render.quantities import count, duration, size

    dumps = ", ".join(sorted(made["dumps"])) or "no database"
    served = ", ".join(f"{one['model']} {one['version']}" for one in made["served"]) or "no model"
    click.echo(
        f"Backup {made['name']}: {count(made['objects'], 'object')}, {size(made['size'])}, of "
        f"which {size(made['copied'])} are new; {dumps}; served: {served}. "
        f"{duration(made['seconds'])}."
    )
    if made["unfinished"]:
        click.echo(f"At work meanwhile: {', '.join(made['unfinished'])}")
    click.echo(again)


def _space(namespace: str) -> str:
    return f" -n {namespace}" if namespace else ""


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _nothing(line: str) -> None:
    """Say nothing of what is quick."""
