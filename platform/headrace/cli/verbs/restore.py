"""`headrace restore`: makes a site what it was when a backup was taken."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from headrace.cli.options import examples, json_option, one_site_options
from headrace.core.errors import EnvironmentProblem, UsageError


@click.command(
    epilog=examples(
        "headrace restore --on prod -n ml",
        "headrace restore 20261127-030000 --on prod -n ml --yes",
        "headrace backup --on prod -n ml --list",
    )
)
@click.argument("backup", required=False, default="")
@one_site_options
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
def command(backup: str, on: str, namespace: str, yes: bool, as_json: bool) -> int:
    """Restore a site from BACKUP, or from the latest one.

    For a site that has lost its data, install the chart again with the same values first. The
    backup is looked through before anything is changed. Then MLflow and Kubeflow Pipelines are
    stopped, their databases and the store are made what they were, they are started again, and
    the models that were served are served. What came after the backup is gone.

    What is cut short is done again by the same command. The exit code is 1 if something that was
    served is not served again.
    """
    from headrace.cli.console import write_json
    from headrace.cli.serving_on import connect_on
    from headrace.operating import backups
    from headrace.sites.cluster import discover

    cluster = connect_on(on, namespace)
    site = discover(cluster)
    found = backups.look_at(cluster, backup, _tell)
    _agree(found, f"{cluster.context}/{cluster.namespace}", yes=yes)
    done = backups.restore(cluster, site, str(found["name"]), _tell)
    if as_json:
        write_json(
            {
                **done.backup,
                "served": done.served,
                "schedules": done.schedules,
                "troubles": done.troubles,
            }
        )
    else:
        _sum_up(done)
    return 1 if done.troubles else 0


def _agree(found: Mapping[str, Any], place: str, *, yes: bool) -> None:
    from headrace.cli.render.quantities import count, moment, size

    click.echo(
        f"Backup {found['name']} of {moment(found['began'])}: {count(found['objects'], 'object')}, "
        f"{size(found['size'])}, {', '.join(sorted(found['dumps'])) or 'no database'}.",
        err=True,
    )
    if found["active"]:
        raise EnvironmentProblem(
            f"{count(len(found['active']), 'run')} of {place} are at work: "
            f"{', '.join(found['active'][:3])}.",
            hint="wait until they are over, or end them: headrace cancel RUN",
        )
    if yes:
        return
    lost = f" {count(found['lost'], 'object')} that came later go." if found["lost"] else ""
    question = f"Make {place} what it was then?{lost}"
    if not sys.stdin.isatty():
        raise UsageError(f"Nothing was changed: nobody is there to agree.{lost}", hint="add --yes")
    if not click.confirm(question, err=True):
        raise click.Abort


def _sum_up(done: Any) -> None:
    from headrace.cli.render.quantities import count

    dumps = ", ".join(sorted(done.backup["dumps"])) or "no database"
    click.echo(
        f"Restored from {done.backup['name']}: {count(done.backup['written'], 'object')} written, "
        f"{done.backup['removed']} removed, {dumps} loaded; "
        f"served again: {', '.join(done.served) or 'nothing'}."
    )
    if done.schedules:
        click.echo(f"Recurring again: {', '.join(done.schedules)}.")
    for one in done.troubles:
        click.echo(f"but {one}")


def _tell(line: str) -> None:
    click.echo(line, err=True)
