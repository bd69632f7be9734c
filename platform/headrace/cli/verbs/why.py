"""`headrace why`: why a run failed, or what it waits for, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli.options import examples, home_option, home_words, json_option, site_options
from headrace.sites.home import Home

if TYPE_CHECKING:
    from headrace.cli.cluster.finding import Found
    from headrace.operating.facts import Explanation


@click.command(
    epilog=examples(
        "headrace why",
        "headrace why flights-20261124",
        "headrace why latest train --json",
        "headrace why flights-20261124 --on kind-team -n ml",
    )
)
@click.argument("run", default="latest")
@click.argument("step", required=False)
@site_options
@home_option
@json_option
def command(
    run: str, step: str | None, on: str | None, namespace: str, home: Home, as_json: bool
) -> int:
    """Say why RUN (a name or id, its unique beginning, or `latest`), or one STEP of it, failed; or
    what it waits for; or that nothing is wrong with it.

    Everything that is known is put together: the step's own exception, how Kubernetes' pods
    ended or what keeps them from starting, lost executors of Spark and workers of Ray, exit
    codes and signals, full disks, gates. The likeliest cause comes first, with what to do, and
    each piece of evidence with where it lies. With --json: `verdict`, `text` and `causes`.
    """
    from headrace.cli import console
    from headrace.cli.cluster.finding import found
    from headrace.cli.render.why import why_object, why_picture
    from headrace.core.errors import UsageError

    if namespace and not on:
        raise UsageError("--namespace is of a cluster.", hint="name one with --on CONTEXT")
    with found(home, run, on, namespace, wanted=_wants_site) as one:
        explanation = _explained(one, step)
        if as_json:
            answer = why_object(explanation, run=one.view.run, site=one.view.where)
            console.write_json(answer)
            return 0
        words = home_words(home)
        next_steps = tuple(_next_steps(one, explanation, words))
        below = f"{Path.cwd()}/"
        page = why_picture(explanation, run=one.view.name, next_steps=next_steps, below=below)
        console.show(page)
        if one.there and one.there.problem:
            click.echo(f"The site is not seen whole: {one.there.problem.what}", err=True)
    return 0


def _wants_site(run: Found) -> bool:
    """The store keeps evidence of what failed; the cluster knows what waits."""
    return not run.over or any(one.state.value == "failed" for one in run.view.steps)


def _explained(run: Found, step: str | None) -> Explanation:
    from headrace.cli.choosing import choose_steps
    from headrace.core.states import State
    from headrace.operating.causes import explain
    from headrace.operating.gathering import Sources, gather

    only, state = "", run.view.state
    if step:
        chosen = choose_steps(run.view, step)[0]
        only, state = chosen.step, chosen.state
        state = State.RUNNING if state is State.PENDING else state
    there = run.there
    sources = Sources(
        run=run.kfp_run or run.view.run,
        events=run.events,
        folder=run.folder,
        store=there.store if there else None,
        seen=run.seen,
    )
    killed = run.view.killed and not step
    return explain(gather(sources, state=state, killed=killed, site=run.view.where, only=only))


def _next_steps(run: Found, found: Explanation, words: str) -> list[str]:
    if found.verdict not in ("failed", "waiting", "killed"):
        return []
    view = run.view
    if run.elsewhere and view.site:
        words = f" --on {view.site['context']} --namespace {view.site['namespace']}"
    steps = [one.step for one in found.causes[:1] if one.step]
    name = f" {steps[0]}" if steps else ""
    lines = [f"headrace logs {view.name}{name}{words}"]
    if found.verdict == "killed" and view.site:
        lines.append(f"headrace cancel {view.name}{words.replace('--namespace', '-n')}")
    return lines
