"""The sites that there are, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from headrace.cli.render.tables import cut, plain_table
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
            table.add_row(*_site(context.context, one, mine))
        if not context.sites:
            good, text = context.problem is None, _without(context)
            table.add_row(_marked(context.context, good), *[_ABSENT] * 5, cut(text))
    return table


def _site(context: str, found: FoundSite, mine: Mapping[str, str]) -> list[RenderableType]:
    site = found.site
    if site is None:
        what = found.problem.what if found.problem else ""
        return [_marked(context, False), found.namespace, *[_ABSENT] * 4, cut(f"yes; {what}")]
    return [
        _marked(context, True),
        Text(found.namespace, style="bold"),
        site.store.url,
        _service(site.mlflow),
        _service(site.kfp),
        _versions(site.versions, mine),
        "yes",
    ]


def _without(context: FoundContext) -> str:
    if context.problem is not None:
        return f"no; {context.problem.what}"
    return "yes; no site" if context.everywhere else "yes; no site in its own namespace"


def _marked(context: str, good: bool) -> Text:
    return Text.assemble(("✔ ", "green") if good else ("✘ ", "bold red"), context)


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
