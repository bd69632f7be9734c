"""`headrace clean`: show what can go and how much it is, then remove it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.options import examples, home_option, json_option, site_options
from headrace.core.errors import EnvironmentProblem, UsageError
from headrace.sites.home import Home

if TYPE_CHECKING:
    from headrace.cli.cleaning.inventory import Stock
    from headrace.cli.cleaning.leftovers import Leftover
    from headrace.cli.cleaning.plan import Aliases, Plan, Wish

_DAY_SECONDS = 86400.0


@click.command(
    epilog=examples(
        "headrace clean",
        "headrace clean --older-than 30 --dry-run",
        "headrace clean --keep 5 --yes",
        "headrace clean --all",
        "headrace clean --on kind-team -n ml --older-than 30 --dry-run",
        "headrace clean --on kind-team -n ml --run flights-20261124-081500-7c1e",
    )
)
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Runs older than that.",
)
@click.option(
    "--keep", type=click.IntRange(min=0), metavar="N", help="All but each pipeline's last N runs."
)
@click.option("--cache", is_flag=True, help="Forget earlier results: every step runs again.")
@click.option("--all", "everything", is_flag=True, help="Everything, the model registry included.")
@site_options
@click.option("--run", default="", metavar="RUN", help="With --on: all of this run, and no more.")
@click.option("--force", is_flag=True, help="With --run: even if it is at work.")
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@home_option
@json_option
def command(
    older_than: float | None,
    keep: int | None,
    cache: bool,
    everything: bool,
    on: str | None,
    namespace: str,
    run: str,
    force: bool,
    dry_run: bool,
    yes: bool,
    home: Home,
    as_json: bool,
) -> int:
    """Remove what nobody needs: half-written results and what killed runs left running.

    With options, also runs with their results. What a run that stays, or a model version
    that an alias names, relies on is kept, and said. Nothing goes before you agree.

    With --on it is a site that is cleaned: the objects of runs that are over, and in its store
    half-written results and checkpoints of trainings that are done; with --older-than also
    artifacts, records, event logs and code of runs that have written nothing since. A run that
    is at work is left alone. So is what Kubeflow Pipelines keeps, and MLflow.
    """
    if on is not None:
        _check_site_options(keep=keep, everything=everything, run=run, force=force)
        from headrace.cli.cleaning.on_site import clean_site

        return clean_site(
            home, on, namespace, run=run, older_than=older_than, cache=cache, force=force,
            dry_run=dry_run, as_json=as_json, agree=_nobody if yes else _ask,
        )  # fmt: skip
    if namespace or run or force:
        raise UsageError("--namespace, --run and --force are of a site.", hint="add --on CONTEXT")
    return _clean_here(
        home, older_than=older_than, keep=keep, cache=cache, everything=everything,
        dry_run=dry_run, yes=yes, as_json=as_json,
    )  # fmt: skip


def _check_site_options(*, keep: int | None, everything: bool, run: str, force: bool) -> None:
    if keep is not None or everything:
        raise UsageError(
            "--keep and --all are of this machine.", hint="a site takes --older-than or --run"
        )
    if force and not run:
        raise UsageError("--force needs the one run that it is for.", hint="add --run RUN")


def _clean_here(
    home: Home,
    *,
    older_than: float | None,
    keep: int | None,
    cache: bool,
    everything: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    from headrace.cli.cleaning.everything import plan_everything
    from headrace.cli.cleaning.inventory import take_stock
    from headrace.cli.cleaning.leftovers import find_leftovers
    from headrace.cli.cleaning.plan import Wish, make_plan
    from headrace.serving.local import running

    if everything and (older_than is not None or keep is not None or cache):
        raise UsageError("--all already holds everything else.", hint="headrace clean --all")
    stock = take_stock(home)
    before = None if older_than is None else time.time() - older_than * _DAY_SECONDS
    wish = Wish(before=before, keep=keep, cache=cache)
    _refuse_while_at_work(stock, harmless=wish == Wish() and not everything)
    killed = [run.view.run for run in stock.runs if run.view.killed]
    leftovers = find_leftovers(home, killed)
    servers = [one.name for one in running(home)] if everything else []
    plan = (
        plan_everything(home)
        if everything
        else make_plan(stock, wish, _aliases(home, wish), now=time.time())
    )
    return _agree_and_do(plan, leftovers, servers, home, dry_run=dry_run, yes=yes, as_json=as_json)


def _refuse_while_at_work(stock: Stock, *, harmless: bool) -> None:
    """A run at work may be about to reuse what would go."""
    busy = [run.view.run for run in stock.runs if not run.over]
    if busy and not harmless:
        raise EnvironmentProblem(
            f"Run {busy[-1]} is at work and may need what would go.",
            where=str(stock.home.run(busy[-1])),
            hint="wait until it is over, or cancel it with Ctrl-C",
        )


def _aliases(home: Home, wish: Wish) -> Aliases:
    """What the registry's aliases name. MLflow is asked only when runs are to go."""
    if (wish.before is None and wish.keep is None) or not home.database.exists():
        return {}
    from headrace.cli import console
    from headrace.registry.catalog import models

    with console.waiting("asking the registry"):
        found = models(home.tracking_uri)
    aliases: dict[str, tuple[str, ...]] = {}
    for model in found:
        for alias, version in model.aliases.items():
            key = f"{model.name}/{version}"
            aliases[key] = (*aliases.get(key, ()), alias)
    return aliases


def _agree_and_do(
    plan: Plan,
    leftovers: tuple[Leftover, ...],
    servers: list[str],
    home: Home,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    from headrace.cli import console
    from headrace.cli.cleaning.inventory import disk_usage
    from headrace.cli.render.cleaning import plan_picture
    from headrace.cli.render.quantities import size

    sizes = {one.path: disk_usage(one.path) for one in plan.removals}
    total = sum(sizes.values())
    nothing = not (plan.removals or leftovers or servers)
    if not as_json:
        picture = plan_picture(plan, sizes, root=home.root, leftovers=leftovers, servers=servers)
        console.show(picture)
        if nothing:
            click.echo(f"Nothing to clean in {home.root}.")
    if not nothing and not dry_run:
        if not yes:
            _ask(f"Free {size(total)} of {home.root}?")
        _do(plan, leftovers, servers, home)
    if as_json:
        console.write_json(_object(plan, sizes, leftovers, servers, done=not dry_run))
    elif not nothing:
        click.echo(f"{'Would free' if dry_run else 'Freed'} {size(total)}.")
    return 0


def _nobody(question: str) -> None:
    """Ask nobody: all is agreed."""


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError("Nothing was removed: nobody is there to agree.", hint="add --yes")
    if not click.confirm(question):
        raise click.Abort


def _do(plan: Plan, leftovers: tuple[Leftover, ...], servers: list[str], home: Home) -> None:
    from headrace.cli.cleaning.carry_out import carry_out
    from headrace.cli.cleaning.leftovers import stop_leftovers
    from headrace.serving.local import stop

    stop_leftovers(leftovers)
    for name in servers:
        stop(home, name)
    carry_out(plan.removals, home)


def _object(
    plan: Plan, sizes: dict[Any, int], leftovers: Any, servers: list[str], *, done: bool
) -> dict[str, Any]:
    """`done`, `removed` (path, kind, bytes), `kept` (path, why), `stopped` and `notes`."""
    return {
        "done": done,
        "removed": [
            {"path": str(one.path), "kind": one.kind.value, "bytes": sizes[one.path]}
            for one in plan.removals
        ],
        "kept": [{"path": str(one.path), "why": one.why} for one in plan.kept],
        "stopped": [{"pid": one.pid, "run": one.run, "command": one.command} for one in leftovers]
        + [{"server": name} for name in servers],
        "notes": list(plan.notes),
    }
