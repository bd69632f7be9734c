"""The sites that there are, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from headrace.cli.render.tables import plain_table
from headrace.sites.cluster import ServiceSettings
from headrace.sites.finding import FoundContext, FoundSite
from headrace.sites.versions import check

_ABSENT = Text("–", style="dim")


def sites_table(found: Sequence[FoundContext], mine: Mapping[str, str]) -> Table:
    """A line per site, and one for each context without any.

    Args:
        found: What the contexts show.
        mine: The versions on this machine.
    """
    table = plain_table("context", "namespace", "store", "MLflow", "KFP", "versions", "reachable")
    for context in found:
        for one in context.sites:
            _add_site(table, context.context, one, mine)
        if not context.sites:
            table.add_row(context.context, *[_ABSENT] * 5, _without(context))
    return table


def _add_site(table: Table, context: str, found: FoundSite, mine: Mapping[str, str]) -> None:
    site = found.site
    if site is None:
        what = found.problem.what if found.problem else ""
        table.add_row(context, found.namespace, *[_ABSENT] * 4, _cell(("✘ ", "bold red"), what))
        return
    table.add_row(
        context,
        Text(found.namespace, style="bold"),
        site.store.url,
        _service(site.mlflow),
        _service(site.kfp),
        _versions(site.versions, mine),
        _cell(("✔ ", "green"), "yes"),
    )


def _without(context: FoundContext) -> Text:
    if context.problem is not None:
        return _cell(("✘ ", "bold red"), context.problem.what)
    text = "no site" if context.everywhere else "no site in its namespace; others are not shown"
    return _cell(("✔ ", "green"), f"yes; {text}")


def _cell(mark: tuple[str, str], text: str) -> Text:
    return Text.assemble(mark, text, no_wrap=True, overflow="ellipsis")


def _service(settings: ServiceSettings) -> Text:
    return Text("yes") if settings.url else _ABSENT


def _versions(theirs: Mapping[str, str], mine: Mapping[str, str]) -> Text:
    """Headrace's version, and how it differs from this machine's."""
    if not theirs:
        return Text("not told", style="dim")
    differing = check(theirs, mine)
    if not differing:
        return Text(f"as here ({theirs.get('headrace', '?')})")
    words = ", ".join(f"{one.what} {one.theirs}" for one in differing[:2])
    return Text(f"{words}{', …' if len(differing) > 2 else ''}", style="yellow")
