"""`headrace cancel`: end a run, wherever its steps and its client are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from headrace.cli.options import examples, home_option, json_option, site_options
from headrace.core.errors import EnvironmentProblem, UsageError
from headrace.sites.home import Home

if TYPE_CHECKING:
    from headrace.cli.cluster.finding import Found


@click.command(
    epilog=examples(
        "headrace cancel latest",
        "headrace cancel flights-20261124",
        "headrace cancel flights-20261124-081500-7c1e --on kind-team -n ml",
    )
)
@click.argument("run")
@site_options
@home_option
@json_option
def command(run: str, on: str | None, namespace: str, home: Home, as_json: bool) -> int:
    """End RUN: a name or id, its unique beginning, or `latest`. What is complete is kept, so that
    running the pipeline again goes on from there.

    A run whose client is at work on this machine is ended by it, as by Ctrl-C. If the client is
    gone, the run's Jobs, pods and Ray clusters are removed and its end is written down. A run
    of Kubeflow Pipelines is ended there. A run that another machine has begun is named with
    --on, by its whole id; its client will find that its steps are gone. Models that it serves
    on a cluster stay. A run that is over already stays as it is, which is no error.
    """
    from headrace.cli.cluster.finding import found

    if namespace and not on:
        raise UsageError("--namespace is of a cluster.", hint="name one with --on CONTEXT")
    with found(home, run, on, namespace) as one:
        said = _begun_here(one, home) if one.folder else _begun_elsewhere(one, run)
    if as_json:
        from headrace.cli.console import write_json

        write_json({"run": one.view.run, **said})
    else:
        click.echo(_sentence(one.view.name, said))
    return 0


def _begun_here(run: Found, home: Home) -> dict[str, Any]:
    from headrace.cli.console import waiting
    from headrace.cli.telling import read_view
    from headrace.operating import ending

    assert run.folder is not None
    view = run.view
    if run.over:
        return {"state": view.state.value, "was_over": True, "removed": {}}
    if view.pid is not None and not view.killed:
        with waiting(f"process {view.pid} ends the run"):
            ending.stop_client(view.pid, view.pid_start)
        view = read_view(run.folder)
    if not view.killed:
        return {"state": view.state.value, "was_over": False, "removed": {}}
    removed = _clear_up(run, home)
    ending.close_journal(run.folder)
    recorded = _record(run)
    return {"state": "cancelled", "was_over": False, "removed": removed, "recorded": recorded}


def _clear_up(run: Found, home: Home) -> dict[str, int]:
    """Remove what the client could not."""
    if not run.view.site:
        from headrace.cli.cleaning.leftovers import find_leftovers, stop_leftovers

        left = find_leftovers(home, [run.view.run])
        stop_leftovers(left)
        return {"processes": len(left)} if left else {}
    return _sweep(run)


def _sweep(run: Found) -> dict[str, int]:
    from headrace.cli.console import waiting
    from headrace.operating import ending

    there = run.there
    if there is None or there.cluster is None:
        problem = there.problem if there else None
        raise EnvironmentProblem(
            f"The run was not ended: {problem.what if problem else 'its site is not known.'}",
            where=problem.where if problem else (),
            hint=problem.hint if problem else "",
        )
    with waiting("removing what is on the cluster"):
        if run.kfp_run and there.site:
            ending.terminate(there.cluster, there.site, run.kfp_run)
        return ending.sweep(there.cluster, run.view.run, kfp_run=run.kfp_run)


def _record(run: Found) -> bool:
    """Bring the end into MLflow's record, unless there is none."""
    from importlib.util import find_spec

    from headrace.cli.console import waiting
    from headrace.operating import ending

    assert run.folder is not None
    if find_spec("mlflow") is None:
        return False
    there = run.there
    with waiting("completing MLflow's record"):
        if run.view.site is None:
            return ending.record_end(run.folder, None)
        if there is None or there.cluster is None or there.site is None:
            return False
        return ending.record_end(run.folder, (there.cluster, there.site))


def _begun_elsewhere(run: Found, text: str) -> dict[str, Any]:
    if run.view.state.done and not (run.seen and run.seen.active):
        return {"state": run.view.state.value, "was_over": True, "removed": {}}
    if text not in (run.view.run, run.view.name):
        raise UsageError(
            "A run that another machine has begun is cancelled by its whole name.",
            hint=f"headrace cancel {run.view.name} --on {run.view.where.partition('/')[0]} …",
        )
    removed = _sweep(run)
    return {"state": "cancelled", "was_over": not removed, "removed": removed}


def _sentence(run: str, said: dict[str, Any]) -> str:
    from headrace.cli.render.quantities import count

    if said["was_over"]:
        return f"Run {run} was over already: {said['state']}."
    if said["state"] != "cancelled":
        return f"Run {run} came to its end first: {said['state']}."
    names = {"rayjobs": "RayJob", "jobs": "Job", "rayclusters": "Ray cluster", "pods": "pod",
             "processes": "process"}  # fmt: skip
    plurals = {"processes": "processes"}
    parts = [
        count(number, names[kind], plurals.get(kind, ""))
        for kind, number in said["removed"].items()
    ]
    gone = f"; removed {', '.join(parts)}" if parts else ""
    missing = "" if said.get("recorded", True) else "; MLflow's record of it is incomplete"
    return f"Cancelled run {run}{gone}{missing}."
