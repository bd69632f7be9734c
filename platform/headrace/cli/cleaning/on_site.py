"""Cleans a site: looks, plans, asks, removes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import click

from headrace.cli import console
from headrace.cli.cleaning.inventory import artifact_uris
from headrace.cli.cleaning.site_plan import (
    KnownRun,
    SiteKind,
    SitePlan,
    SiteWish,
    make_site_plan,
)
from headrace.cli.cluster.finding import site_of
from headrace.cli.render.cleaning import site_plan_picture
from headrace.cli.render.quantities import size
from headrace.cluster.forwarding import reach
from headrace.core.errors import EnvironmentProblem, UsageError, did_you_mean
from headrace.core.states import State
from headrace.operating import recalling, stocktaking
from headrace.operating.stocktaking import SiteStock
from headrace.running.target import Target, target
from headrace.sites.home import Home
from headrace.sites.journal import list_runs, read_events

_DAY_SECONDS = 86400.0
_AT_ONCE = 16
_MOST_NAMED = 20
_PATIENCE_SECONDS = 10.0


def clean_site(
    home: Home,
    context: str,
    namespace: str,
    *,
    run: str,
    older_than: float | None,
    cache: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
    agree: Callable[[str], None],
) -> int:
    """Clean a site, once `agree` lets the question pass."""
    before = None if older_than is None else time.time() - older_than * _DAY_SECONDS
    with ExitStack() as ways:
        with console.waiting("looking through the site"):
            there = _site(context, namespace, ways)
            stock = stocktaking.take_stock(
                there.cluster, there.store, is_run=lambda name: recalling.is_run(name, there.store)
            )
            known = dict(_known(home, there))
            wish = SiteWish(before=before, cache=cache, run=_run(run, stock), force=force)
            _refuse_at_work(wish, stock, known, there)
            aliases = _aliases(there, wish)
        plan = make_site_plan(stock, known, wish, aliases)
        return _agree_and_do(plan, there, dry_run=dry_run, as_json=as_json, agree=agree)


def _site(context: str, namespace: str, ways: ExitStack) -> Target:
    """The site, of which nobody waits for ever to answer."""
    found = target(context, namespace, ways)
    cluster = replace(found.cluster, patience=_PATIENCE_SECONDS)
    store = replace(found.store, patience=int(_PATIENCE_SECONDS))
    return Target(cluster=cluster, site=found.site, store=store)


def _known(home: Home, there: Target) -> Iterator[tuple[str, KnownRun]]:
    """The runs of this machine that took place on the site."""
    place = (there.cluster.context, there.cluster.namespace)
    for one in list_runs(home):
        site = site_of(one)
        if (site.get("context"), site.get("namespace")) == place:
            uses = frozenset(artifact_uris(read_events(one.folder)))
            yield one.run_id, KnownRun(at_work=one.state is State.RUNNING, uses=uses)


def _run(text: str, stock: SiteStock) -> str:
    """The one run on the site that a text means."""
    if not text:
        return ""
    runs = sorted({*stock.results, *stock.records, *(one.run for one in stock.things)})
    found = [one for one in runs if one == text] or [one for one in runs if one.startswith(text)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{text!r} fits {len(found)} runs.", hint=f"say more of {found[-1]}")
    raise UsageError(
        f"The site has nothing of a run {text!r}.", hint=did_you_mean(text, runs[-20:])
    )


def _refuse_at_work(
    wish: SiteWish, stock: SiteStock, known: Mapping[str, KnownRun], there: Target
) -> None:
    mine = known.get(wish.run)
    busy = wish.run in stock.active or (mine is not None and mine.at_work)
    if busy and not wish.force:
        raise EnvironmentProblem(
            f"Run {wish.run} is at work.",
            where=there.cluster.where,
            hint=f"headrace cancel {wish.run} ends it; --force removes what it stands on",
        )


def _aliases(there: Target, wish: SiteWish) -> dict[str, str]:
    """By run, the version it made that an alias names. MLflow is asked only when runs may go."""
    if (wish.before is None and not wish.run) or not there.site.mlflow.url:
        return {}
    from headrace.registry.catalog import models, versions

    found = {}
    with reach(there.cluster, there.site.mlflow.url, there.site.mlflow.client_url) as uri:
        for model in models(uri):
            for one in versions(uri, model.name) if model.aliases else ():
                if one.run and one.aliases:
                    named = " and ".join(one.aliases)
                    found[one.run] = f"{one.name}/{one.version}, which is {named}"
    return found


def _agree_and_do(
    plan: SitePlan,
    there: Target,
    *,
    dry_run: bool,
    as_json: bool,
    agree: Callable[[str], None],
) -> int:
    total = sum(one.size for one in plan.removals)
    place = f"{there.cluster.context}/{there.cluster.namespace}"
    if not as_json:
        console.show(site_plan_picture(plan, root=there.store.url))
        if not plan.removals:
            click.echo(f"Nothing to clean on {place}.")
    if plan.removals and not dry_run:
        agree(f"Free {size(total)} of {place}?")
        with console.waiting("removing"):
            _carry_out(plan, there)
    if as_json:
        console.write_json(_object(plan, done=not dry_run))
    elif plan.removals:
        click.echo(f"{'Would free' if dry_run else 'Freed'} {size(total)}.")
    return 0


def _carry_out(plan: SitePlan, there: Target) -> None:
    """Remove, kind after kind: nothing may be found that is about to go."""
    for kind in SiteKind:
        places = [one.place for one in plan.removals if one.kind is kind]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            if kind is SiteKind.OBJECT:
                list(pool.map(lambda one: there.cluster.delete(*one.split("/", 1)), places))
            else:
                list(pool.map(there.store.delete, places))


def _object(plan: SitePlan, *, done: bool) -> dict[str, Any]:
    """`done`, `removed` (place, kind, bytes), `kept` (what, why) and `notes`."""
    return {
        "done": done,
        "removed": [
            {"place": one.place, "kind": one.kind.value, "bytes": one.size} for one in plan.removals
        ],
        "kept": [{"what": one.what, "why": one.why} for one in plan.kept],
        "notes": list(plan.notes),
    }
