"""`headrace sites`: the contexts of the kubeconfig, and which of their namespaces are sites."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.options import examples, json_option

if TYPE_CHECKING:
    from headrace.core.errors import HeadraceError
    from headrace.sites.finding import FoundContext, FoundSite


@click.command(epilog=examples("headrace sites", "headrace sites --json"))
@json_option
def command(as_json: bool) -> int:
    """List the sites on clusters that your kubeconfig's contexts show.

    Each context has 3 seconds to answer. Where you may not see every namespace, only the
    context's own is looked at. `headrace doctor --on CONTEXT -n NAMESPACE` looks closer.
    """
    from headrace.cli import console
    from headrace.cli.render.sites import sites_table
    from headrace.sites.finding import find_sites
    from headrace.sites.versions import mine

    with console.waiting("asking each context"):
        found = find_sites()
    if as_json:
        console.write_json([_context(one) for one in found])
    else:
        console.show(sites_table(found, mine()))
    return 0


def _context(found: FoundContext) -> dict[str, Any]:
    return {
        "context": found.context,
        "reachable": found.problem is None,
        "everywhere": found.everywhere,
        "problem": _problem(found.problem),
        "sites": [_site(one) for one in found.sites],
    }


def _site(found: FoundSite) -> dict[str, Any]:
    from headrace.sites.versions import check, mine

    site = found.site
    differing = check(site.versions, mine()) if site else []
    return {
        "namespace": found.namespace,
        "problem": _problem(found.problem),
        "site": asdict(site) if site else None,
        "mismatches": [asdict(one) for one in differing],
    }


def _problem(error: HeadraceError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {"what": error.what, "where": list(error.where), "hint": error.hint}
