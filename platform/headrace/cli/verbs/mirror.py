"""`headrace mirror`: what a cluster without the internet needs, with digests."""

from __future__ import annotations

from dataclasses import asdict

import click

from headrace.cli.options import examples, json_option
from headrace.core.errors import EnvironmentProblem, UsageError


@click.command(
    epilog=examples(
        "headrace mirror",
        "headrace mirror --kind image --kind chart -f ours.yaml",
        "headrace mirror --offline --json",
        "headrace mirror --to registry.example.com/mirror > mirror.sh",
    )
)
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(["image", "chart", "jar", "wheel", "deb"]),
    help="Only these.  [default: all]",
)  # fmt: skip
@click.option(
    "-f", "--values", multiple=True, type=click.Path(exists=True, dir_okay=False), metavar="FILE",
    help="Values of the chart; a later file wins, and all over images/values.yaml.",
)  # fmt: skip
@click.option(
    "--to", metavar="MIRROR",
    help="Write a script that copies it all to this registry, the chart's value `mirror`.",
)  # fmt: skip
@click.option("--insecure", multiple=True, metavar="HOST", help="This registry speaks plain HTTP.")
@click.option("--offline", is_flag=True, help="Ask no registry: digests that no list has are ?.")
@json_option
def command(
    kinds: tuple[str, ...],
    values: tuple[str, ...],
    to: str | None,
    insecure: tuple[str, ...],
    offline: bool,
    as_json: bool,
) -> int:
    """List every image, chart, jar and wheel that a site takes, with digests.

    Run it in a checkout: it reads the chart's values, images/values.yaml, helm/charts.yaml, uv.lock
    and jars.lock, which are what is installed and built from. Jars, wheels and Debian's packages
    are needed only where images are built. Digests of images and charts that no list has are
    asked for where they come from; nothing is fetched.

    Exit codes: 0 every digest is known, or none was asked for; 4 one that was is not.
    """
    from headrace.cli import console
    from headrace.cli.copying import script
    from headrace.cli.mirroring import KINDS, everything
    from headrace.cli.render.mirrored import listing, reasons

    if to and as_json:
        raise UsageError("--to writes a script, and --json none.", hint="leave one of them out")
    if to and "://" in to:
        raise UsageError(
            f"--to {to} begins with a protocol.", hint="say a registry: registry.example.com/mirror"
        )
    with console.waiting("asking registries"):
        found = everything(values, kinds=kinds or KINDS, insecure=insecure, offline=offline)
    unknown = [] if offline else [one for one in found if one.missing]
    if as_json:
        console.write_json([asdict(one) for one in found])
    elif to:
        for line in script(found, to.rstrip("/")):
            click.echo(line)
        for line in reasons(unknown):
            click.echo(line, err=True)
    else:
        for line in listing(found):
            click.echo(line)
    return EnvironmentProblem.exit_code if unknown else 0
