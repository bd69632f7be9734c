"""Ends a run from outside: its client, what it has on a cluster, and its open journal."""

from __future__ import annotations

import io
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path

from headrace.cluster import errors, kinds
from headrace.cluster.client import Cluster
from headrace.cluster.forwarding import reach
from headrace.core.errors import EnvironmentProblem, HeadraceError, RunCancelled
from headrace.core.states import State
from headrace.executing import failures
from headrace.operating import on_kubeflow, seeing
from headrace.running.kubeflow import runs as kubeflow
from headrace.sites.cluster import Site
from headrace.sites.journal import Event, Journal, process_alive, read_events

CLIENT_SECONDS = 120.0
"""For how long a client may take to end its run: it removes what is on the cluster, and
MLflow's record is completed."""
PODS_SECONDS = 60.0
"""For how long pods that were told to end are waited for."""
_PAUSE = 0.2


def stop_client(pid: int, started: str | None) -> bool:
    """Ask a run's client to cancel it, and wait until it is gone. False if it was gone before.

    Raises:
        EnvironmentProblem: It is another user's, or takes too long.
    """
    if not process_alive(pid, started):
        return False
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise EnvironmentProblem(
            f"Its client, process {pid}, is another user's.", hint="ask that user to cancel it"
        ) from error
    until = time.monotonic() + CLIENT_SECONDS
    while process_alive(pid, started):
        if time.monotonic() > until:
            raise EnvironmentProblem(
                f"Its client, process {pid}, was told to end and has not within "
                f"{CLIENT_SECONDS:.0f} s.",
                hint=f"kill -9 {pid}, and cancel the run again to clear up behind it",
            )
        time.sleep(_PAUSE)
    return True


def sweep(cluster: Cluster, run: str, *, kfp_run: str = "") -> dict[str, int]:
    """Remove what a run has on a cluster, and wait until its pods are gone.

    What serves a model stays: it is meant to outlive its run.

    Returns:
        How many objects of each kind were removed.

    Raises:
        ClusterProblem: The cluster does not answer, or forbids it.
    """
    removed: Counter[str] = Counter()
    for kind in kinds.OF_RUNS:
        for marks in seeing.owned(run, kfp_run):
            with suppress(errors.NotThere):  # a cluster without KubeRay
                removed[kind] += len(cluster.delete_all(kind, marks))
    until = time.monotonic() + PODS_SECONDS
    while any(cluster.list("pods", marks) for marks in seeing.owned(run, kfp_run)):
        if time.monotonic() > until:
            break
        time.sleep(1.0)
    return {kind: count for kind, count in removed.items() if count}


def terminate(cluster: Cluster, site: Site, kfp_run: str) -> None:
    """Have Kubeflow Pipelines end a run that it drives.

    Raises:
        HeadraceError: It does not answer, or does not know the run.
    """
    with on_kubeflow.server_of(cluster, site) as server:
        kubeflow.cancel(kfp_run, server)


def close_journal(folder: Path) -> None:
    """Write the end of a run whose client cannot: what was at work is cancelled.

    Raises:
        OSError: The journal cannot be written.
    """
    events = read_events(folder)
    start = [one for one in events if one["type"] == "run_started"][-1]
    journal = Journal(folder)
    try:
        for event in _unfinished(events):
            journal.write(
                {
                    "type": "step_finished", "step": event["step"], "name": event.get("name"),
                    "engine": event.get("engine"), "state": State.CANCELLED,
                    "attempt": event.get("attempt", 1), "seconds": time.time() - event["time"],
                    "parameters": event.get("parameters") or {}, "error": None,
                    "inputs": event.get("inputs") or {}, "reused_from": None, "metrics": {},
                    "outputs": {"parameters": {}, "artifacts": {}},
                    "fingerprint": event.get("fingerprint", ""),
                }
            )  # fmt: skip
        cancelled = RunCancelled("The run was cancelled.", hint="run again to continue it")
        journal.write(
            {
                "type": "run_finished", "state": State.CANCELLED,
                "seconds": time.time() - start["time"],
                "error": failures.describe(cancelled), "outputs": {},
            }
        )  # fmt: skip
    finally:
        journal.close()


def _unfinished(events: Iterable[Event]) -> Iterator[Event]:
    open_steps: dict[str, Event] = {}
    for event in events:
        match event["type"]:
            case "step_started":
                open_steps[event["step"]] = event
            case "step_finished":
                open_steps.pop(event["step"], None)
    yield from open_steps.values()


def record_end(folder: Path, there: tuple[Cluster, Site] | None) -> bool:
    """Complete the run's record in MLflow. False if that did not work.

    Args:
        folder: The run's folder.
        there: Its site; None for a run on this machine.
    """
    try:
        if there is None:
            return _replay(folder, "")
        cluster, site = there
        if not site.mlflow.url:
            return True
        with reach(cluster, site.mlflow.url, site.mlflow.client_url) as uri:
            return _replay(folder, uri)
    except HeadraceError:
        return False


def _replay(folder: Path, uri: str) -> bool:
    from headrace.registry.recorder import replay

    with redirect_stdout(io.StringIO()):  # MLflow announces each run that it ends
        return replay(folder, tracking_uri=uri)
