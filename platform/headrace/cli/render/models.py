"""Registered models: a list, and everything about one of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headrace.cli.render.facts import Fact, facts_table
from headrace.cli.render.quantities import count, figure_list, moment
from headrace.cli.render.tables import cut, plain_table
from headrace.registry.catalog import Promotion, RegisteredModel, Version, VersionLineage

_MOST_FIGURES = 4
_MOST_DECISIONS = 10
_MOST_DATASETS = 8
_DIGEST_CHARACTERS = 19


def models_table(models: Sequence[RegisteredModel]) -> Table:
    """A line per registered model."""
    table = plain_table("model", "versions", "latest", "aliases")
    for one in models:
        aliases = ", ".join(f"{alias} = {version}" for alias, version in one.aliases.items())
        latest = "" if one.latest is None else str(one.latest)
        table.add_row(Text(one.name, style="bold"), str(one.count), latest, cut(aliases))
    return table


def model_picture(
    name: str,
    versions: Sequence[Version],
    history: Sequence[Promotion],
    lineage: VersionLineage | None,
) -> RenderableType:
    """A model's versions, what was decided of them, and where one comes from."""
    title = Text.assemble((name, "bold"), (f"  {count(len(versions), 'version')}", "dim"))
    parts: list[RenderableType] = [title, Text(), versions_table(versions)]
    if history:
        parts += [Text(), decisions_table(history[-_MOST_DECISIONS:])]
        if len(history) > _MOST_DECISIONS:
            parts.append(Text(f"{len(history) - _MOST_DECISIONS} earlier: --json", style="dim"))
    if lineage is not None:
        head = Text(f"where version {lineage.version.version} comes from", style="dim")
        parts += [Text(), head, facts_table(lineage_facts(lineage))]
    return Group(*parts)


def versions_table(versions: Sequence[Version]) -> Table:
    """A line per version, the newest first."""
    table = plain_table("version", "aliases", "made", "run", "figures")
    for one in versions:
        own = {key: value for key, value in one.metrics.items() if "." not in key}
        table.add_row(
            Text(str(one.version), style="bold"),
            Text(", ".join(one.aliases), style="green"),
            Text(moment(one.created), style="dim"),
            one.run or Text("elsewhere", style="dim"),
            cut(figure_list(own, most=_MOST_FIGURES)),
        )
    return table


def decisions_table(history: Sequence[Promotion]) -> Table:
    """A line per decision, the latest at the bottom."""
    table = plain_table("decided", "version", "alias", "because")
    for one in history:
        decided = datetime.fromisoformat(one.time).timestamp()
        verdict = ("✔ ", "green") if one.promoted else ("✘ ", "bold red")
        because = "; ".join(one.reasons) or "no gate"
        table.add_row(
            Text(moment(decided), style="dim"),
            Text.assemble(verdict, str(one.version)),
            one.alias,
            cut(f"{because}  ({one.basis})" if one.basis else because),
        )
    return table


def lineage_facts(lineage: VersionLineage) -> list[Fact]:
    """Pipeline, run, code, steps and datasets behind a version."""
    git = lineage.git
    commit = f"{str(git.get('commit', ''))[:12]} on {git.get('branch', '')}" if git else ""
    changed = " with uncommitted changes" if git.get("dirty") else ""
    pipeline = lineage.pipeline
    if lineage.source and lineage.source != pipeline:
        pipeline = f"{pipeline}  ({lineage.source})"
    found: list[Fact] = [
        ("pipeline", Text(pipeline)),
        ("run", Text(lineage.version.run)),
        ("step", Text(" → ".join(lineage.steps) or lineage.step)),
        ("code", Text(_short(lineage.code_digest))),
        ("git", Text(commit + changed)),
        ("content", Text(_short(lineage.version.digest))),
        ("MLflow", Text(f"run {lineage.mlflow_run}" if lineage.mlflow_run else "")),
    ]
    for place, one in enumerate(lineage.datasets[:_MOST_DATASETS]):
        made = f" from {one.step}" if one.step else ""
        text = Text.assemble(f"{one.name}{made}", (f"  {_short(one.digest)}", "dim"))
        found.append(("data" if place == 0 else "", text))
    return [(label, text) for label, text in found if text.plain.strip()]


def _short(digest: str) -> str:
    return digest[:_DIGEST_CHARACTERS]
