"""What a cleaning would do, before it is done."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from headrace.cli.cleaning.leftovers import Leftover
from headrace.cli.cleaning.plan import Kept, Kind, Plan, Removal
from headrace.cli.cleaning.site_plan import SiteKind, SitePlan, SiteRemoval
from headrace.cli.render.quantities import count, size
from headrace.cli.render.tables import cut, plain_table

_MOST_NAMED = 3
_MOST_KEPT = 8
_SITE_PLURALS = {
    SiteKind.OBJECT: "objects on the cluster",
    SiteKind.CACHE: "cache entries",
}
_PLURALS = {
    Kind.CACHE: "cache entries",
    Kind.CODE: "code bundles",
    Kind.FOLDER: "folders and files",
}


def plan_picture(
    plan: Plan,
    sizes: Mapping[Path, int],
    *,
    root: Path,
    leftovers: Collection[Leftover] = (),
    servers: Collection[str] = (),
) -> RenderableType:
    """A line per kind with its size, what stays and why, and what will be different."""
    parts: list[RenderableType] = []
    if plan.removals:
        table = plain_table("remove", "size", "which")
        table.columns[1].justify = "right"
        for kind in Kind:
            found = [one for one in plan.removals if one.kind is kind]
            if found:
                total = sum(sizes.get(one.path, 0) for one in found)
                table.add_row(_count(kind, found), size(total), cut(_names(found, root), "dim"))
        parts.append(table)
    parts += [Text(f"stop process {one.pid} of {one.run}: {one.command}") for one in leftovers]
    parts += [Text(f"stop the server of {name}") for name in servers]
    blocks = [_kept_lines(plan.kept, root), [Text(note, style="yellow") for note in plan.notes]]
    for block in filter(None, blocks):
        parts += [Text(), *block] if parts else block
    return Group(*parts)


def site_plan_picture(plan: SitePlan, *, root: str) -> RenderableType:
    """The same for a site, whose store lies below `root`."""
    parts: list[RenderableType] = []
    if plan.removals:
        table = plain_table("remove", "size", "which")
        table.columns[1].justify = "right"
        for kind in SiteKind:
            found = [one for one in plan.removals if one.kind is kind]
            if found:
                total = "" if kind is SiteKind.OBJECT else size(sum(one.size for one in found))
                what = count(len(found), kind.value, _SITE_PLURALS.get(kind, ""))
                table.add_row(what, total, cut(_places(found, root), "dim"))
        parts.append(table)
    kept = [
        Text.assemble(("keep ", "dim"), one.what, (f": {one.why}", "dim"))
        for one in plan.kept[:_MOST_KEPT]
    ]
    if len(plan.kept) > _MOST_KEPT:
        kept.append(Text(f"keep {len(plan.kept) - _MOST_KEPT} more, for like reasons", style="dim"))
    for block in filter(None, [kept, [Text(note, style="yellow") for note in plan.notes]]):
        parts += [Text(), *block] if parts else block
    return Group(*parts)


def _places(found: Sequence[SiteRemoval], root: str) -> str:
    if found[0].kind in (SiteKind.CACHE, SiteKind.CODE, SiteKind.SPARK):
        return ""
    names = [one.place.removeprefix(f"{root}/") for one in found[:_MOST_NAMED]]
    return ", ".join([*names, "…"] if len(found) > _MOST_NAMED else names)


def _count(kind: Kind, found: Sequence[Removal]) -> str:
    return count(len(found), kind.value, _PLURALS.get(kind, ""))


def _names(found: Sequence[Removal], root: Path) -> str:
    if found[0].kind in (Kind.CACHE, Kind.CODE):
        return ""
    names = [str(one.path.relative_to(root)) for one in found[:_MOST_NAMED]]
    return ", ".join([*names, "…"] if len(found) > _MOST_NAMED else names)


def _kept_lines(kept: Sequence[Kept], root: Path) -> list[Text]:
    lines = [
        Text.assemble(("keep ", "dim"), str(one.path.relative_to(root)), (f": {one.why}", "dim"))
        for one in kept[:_MOST_KEPT]
    ]
    if len(kept) > _MOST_KEPT:
        lines.append(Text(f"keep {len(kept) - _MOST_KEPT} more, for like reasons", style="dim"))
    return lines
