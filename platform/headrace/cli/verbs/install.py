"""`headrace install`: makes a namespace a site, by Helm."""

from __future__ import annotations

import click

from headrace.cli.options import examples


@click.command(
    epilog=examples(
        "headrace install --on kind-kind -n ml --profile kind --kuberay",
        "headrace install --on prod -n ml --profile prod -f ours.yaml",
        "headrace install --on prod -n ml -f ours.yaml --set limits.pending=300",
        "headrace install --on prod -n ml -f ours.yaml --dry-run",
    )
)
@click.option("--on", required=True, metavar="CONTEXT", help="A context of the kubeconfig.")
@click.option(
    "-n", "--namespace", default="headrace", show_default=True, metavar="NAME",
    help="The namespace that is to be a site; it is made if it is not there.",
)  # fmt: skip
@click.option(
    "--profile", type=click.Choice(["kind", "prod"]),
    help="kind: every server in there, for one small node. prod: databases and store are yours.",
)  # fmt: skip
@click.option(
    "-f", "--values", multiple=True, type=click.Path(exists=True, dir_okay=False), metavar="FILE",
    help="Values of the chart; a later file wins, and all over images/values.yaml.",
)  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="One value.")
@click.option(
    "--chart", type=click.Path(exists=True), metavar="PATH", help="Another chart than our own."
)
@click.option(
    "--timeout", default="10m", show_default=True, metavar="TIME",
    help="How long it may take until all of it is ready.",
)  # fmt: skip
@click.option(
    "--kuberay", is_flag=True,
    help="First KubeRay's operator from its own repository, if the cluster has none.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Have Helm say what it would do.")
def command(
    on: str,
    namespace: str,
    profile: str | None,
    values: tuple[str, ...],
    settings: tuple[str, ...],
    chart: str | None,
    timeout: str,
    kuberay: bool,
    dry_run: bool,
) -> int:
    """Install Headrace's chart, or upgrade it, and wait until all of it is ready.

    Helm does the work, by the command that is shown: what is installed can be looked at, rolled
    back and uninstalled with Helm, and this can be run again. Before anything is changed, a store
    and databases that the values name Secrets for are looked at.
    """
    from headrace.cli.installing import Wanted, install

    return install(
        Wanted(
            context=on,
            namespace=namespace,
            profile=profile or "",
            values=values,
            settings=settings,
            chart=chart or "",
            timeout=timeout,
            kuberay=kuberay,
            dry_run=dry_run,
        )
    )
