"""`headrace up`: a cluster on this machine, with Headrace in it."""

from __future__ import annotations

import click

from headrace.cli.options import examples


@click.command(
    epilog=examples("headrace up", "headrace up --tool minikube", "headrace up --dry-run")
)
@click.option(
    "--tool", type=click.Choice(["kind", "minikube"]), default="kind", show_default=True,
    help="What makes the cluster.",
)  # fmt: skip
@click.option("--name", default="headrace", show_default=True, help="The cluster's name.")
@click.option(
    "-n", "--namespace", default="headrace", show_default=True, metavar="NAME",
    help="The site's namespace.",
)  # fmt: skip
@click.option(
    "-f", "--values", multiple=True, type=click.Path(exists=True, dir_okay=False), metavar="FILE",
    help="Values of the chart, over its profile for kind.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only show the commands.")
def command(tool: str, name: str, namespace: str, values: tuple[str, ...], dry_run: bool) -> int:
    """Make a cluster on this machine and install the whole platform in it.

    Run it in a checkout: it builds the images, brings them into the cluster, and installs
    KubeRay's operator and Headrace's chart. It calls kind or minikube, docker, and helm, shows each
    command, and can be run again: what is there already stays.
    """
    from headrace.cli.raising import Wish, raise_cluster

    wish = Wish(tool=tool, name=name, namespace=namespace, values=values)
    return raise_cluster(wish, dry_run=dry_run)
