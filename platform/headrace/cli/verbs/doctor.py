"""`headrace doctor`: look at everything a run needs, and say how to mend what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from headrace.cli.options import examples, home_option, json_option, site_options
from headrace.core.errors import EnvironmentProblem, UsageError
from headrace.sites.home import Home

if TYPE_CHECKING:
    from headrace.cli.checks.finding import Finding


@click.command(
    epilog=examples(
        "headrace doctor",
        "headrace doctor --on kind-team -n ml",
        "headrace doctor --on kind-team -n ml --images",
        "headrace doctor --json",
    )
)
@site_options
@click.option("--images", is_flag=True, help="Have every image of the site pulled, too.")
@home_option
@json_option
def command(on: str | None, namespace: str, images: bool, home: Home, as_json: bool) -> int:
    """Check Java, Python, the engines' versions, disk, ports, the database and what is left over.

    With --on, check a site instead: whether it can be reached, what you may do there, its
    versions, store, MLflow, Ray and room; and, with a pod that it starts and removes, what steps
    can reach there.

    Changes nothing. Ends with 4 if something must be mended.
    """
    from headrace.cli import console
    from headrace.cli.checks.finding import Health
    from headrace.cli.render.findings import findings_picture

    if on is None and (namespace or images):
        raise UsageError("--namespace and --images are of a site.", hint="name one with --on")
    with console.waiting(f"asking {on}" if on else "looking around"):
        findings = list(_of_site(on, namespace, images) if on else _of_machine(home))
    bad = any(one.health is Health.WRONG for one in findings)
    if as_json:
        console.write_json({"well": not bad, "findings": [asdict(one) for one in findings]})
    else:
        console.show(findings_picture(findings))
    return EnvironmentProblem.exit_code if bad else 0


def _of_machine(home: Home) -> Iterable[Finding]:
    from headrace.cli.checks.house import house
    from headrace.cli.checks.machine import machine
    from headrace.cli.checks.software import software

    return [*software(), *machine(home), *house(home)]


def _of_site(context: str, namespace: str, images: bool) -> Iterable[Finding]:
    from headrace.cli.checks.site import site_findings

    return site_findings(context, namespace, images=images)
