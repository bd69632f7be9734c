"""`headrace doctor`: look at everything a run needs, and say how to mend what is wrong."""

from __future__ import annotations

from dataclasses import asdict

import click

from headrace.cli.options import examples, home_option, json_option
from headrace.core.errors import EnvironmentProblem
from headrace.sites.home import Home


@click.command(epilog=examples("headrace doctor", "headrace doctor --json"))
@home_option
@json_option
def command(home: Home, as_json: bool) -> int:
    """Check Java, Python, the engines' versions, disk, ports, the database and what is left over.

    Changes nothing. Ends with 4 if something must be mended.
    """
    from headrace.cli import console
    from headrace.cli.checks.finding import Health
    from headrace.cli.checks.house import house
    from headrace.cli.checks.machine import machine
    from headrace.cli.checks.software import software
    from headrace.cli.render.findings import findings_picture

    findings = [*software(), *machine(home), *house(home)]
    bad = any(one.health is Health.WRONG for one in findings)
    if as_json:
        console.write_json({"well": not bad, "findings": [asdict(one) for one in findings]})
    else:
        console.show(findings_picture(findings))
    return EnvironmentProblem.exit_code if bad else 0
