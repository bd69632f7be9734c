"""Backups of a site, as a client asks for them: its pods do the work, by the chart's PodTemplates.

While a site is restored, what keeps its state in databases is stopped. What such a Deployment had
of replicas stands in an annotation, so a restoration that was cut short can be done again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace.cluster import chores
from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.forwarding import reach
from headrace.core.errors import EnvironmentProblem, HeadraceError
from headrace.operating.safekeeping import (
    CHORE,
    REPLICAS,
    STATEFUL,
    VARIABLE,
    active_runs,
    require_alone,
    require_settled,
)  # fmt: skip
from headrace.registry.needs import servable
from headrace.running.kubeflow.schedules import revive
from headrace.running.kubeflow.server import connect
from headrace.serving import deployed
from headrace.serving.offers import Scale
from headrace.sites.cluster import Site

BACKUP, RESTORE = "headrace-backup", "headrace-restore"
"""The chart's PodTemplates."""
KFP_DUMP = "kfp.sql"
"""The dump of Kubeflow Pipelines' databases."""
_LOADS = {"mlflow-database": "mlflow.sql", "kfp-databases": KFP_DUMP}
"""By the containers of the PodTemplates, the dump that each writes or loads."""
_STOPPED = (
    "What uses the databases may be stopped: the same command, with the backup's name, goes on."
)
_MANAGER = "headrace-restore"
_PAUSE = 0.5
_READY_SECONDS = 600.0
_GONE_SECONDS = 120.0

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What came of a restoration."""

    backup: Mapping[str, Any]
    """The backup, and how many objects were `written` and `removed`."""
    served: tuple[str, ...]
    """The models that are served again, each with its version."""
    schedules: tuple[str, ...]
    """The recurring runs that were made anew, for the cluster had lost their objects."""
    troubles: tuple[str, ...]
    """What could not be had again, and why."""


def take(cluster: Cluster, tell: Tell, *, adopt: bool = False) -> Mapping[str, Any]:
    """Take a backup, and return what is known of it.

    Args:
        cluster: The site's cluster.
        tell: Told what happens, a line each.
        adopt: Go on where an earlier installation of the site has its backups.

    Raises:
        EnvironmentProblem: The site has no place for backups, one is being taken, the backups
            there are another's, or it failed.
    """
    require_alone(cluster)
    require_settled(cluster)
    words = ["--adopt"] if adopt else []
    found: Mapping[str, Any] = _done(cluster, BACKUP, "save", tell, words=words, alone=False)
    return found


def known(cluster: Cluster, tell: Tell) -> Sequence[Mapping[str, Any]]:
    """All backups of a site, the oldest first."""
    found: Sequence[Mapping[str, Any]] = _done(cluster, BACKUP, "list", tell)
    return found


def look_at(cluster: Cluster, name: str, tell: Tell) -> Mapping[str, Any]:
    """See that a backup is whole and this site's; the latest one, if no name is given.

    Returns:
        What is known of it; `lost`, how many objects of the site it lacks; and `active`, the runs
        that are at work.

    Raises:
        EnvironmentProblem: It is neither, or not there; or it has other databases than the site.
    """
    found: Mapping[str, Any] = _done(cluster, BACKUP, "check", tell, backup=name)
    wanted, there = _loaded(cluster), set(found["dumps"])
    if wanted != there:
        raise EnvironmentProblem(
            f"The backup {found['name']} has the databases {_listed(there)}, and this site would "
            f"load {_listed(wanted)}.",
            where=cluster.where,
            hint="have the chart run what it ran then: kfp.enabled, mlflow.enabled",
        )
    return {**found, "active": sorted({*found["active"], *active_runs(cluster)})}


def restore(cluster: Cluster, site: Site, name: str, tell: Tell) -> Restored:
    """Make databases and store what they were, and serve what was served.

    Args:
        cluster: The site's cluster.
        site: The site.
        name: The backup.
        tell: Told what happens, a line each.

    Raises:
        EnvironmentProblem: It cannot be done; the same again goes on from there.
    """
    require_alone(cluster)
    if runs := active_runs(cluster):
        raise EnvironmentProblem(
            f"A run has begun meanwhile: {runs[0]}.",
            where=cluster.where,
            hint=f"wait until it is over, or end it: headrace cancel {runs[0]}",
        )
    with _told_what_is_stopped(tell):
        stop_servers(cluster, tell)
        backup = _done(cluster, RESTORE, "put", tell, backup=name, alone=False)
        start_servers(cluster, tell)
    schedules, lost = _schedule(cluster, site) if KFP_DUMP in backup["dumps"] else ((), ())
    served, troubles = _serve(cluster, site, backup["served"], tell)
    return Restored(backup=backup, served=served, schedules=schedules, troubles=(*lost, *troubles))


@contextmanager
def _told_what_is_stopped(tell: Tell) -> Iterator[None]:
    """Say, whatever cuts a restoration short, what it leaves."""
    try:
        yield
    except HeadraceError as error:
        what = f"{error.what}\n{_STOPPED}"
        raise EnvironmentProblem(what, where=error.where, hint=error.hint) from error
    except KeyboardInterrupt:
        tell(_STOPPED)
        raise


def stop_servers(cluster: Cluster, tell: Tell) -> None:
    """Stop what keeps its state in the databases, and wait until its pods are gone."""
    found = cluster.list("deployments", STATEFUL)
    for one in found:
        had = one["metadata"].get("annotations", {}).get(REPLICAS)
        change: Manifest = {"spec": {"replicas": 0}}
        if had is None:
            change["metadata"] = {"annotations": {REPLICAS: str(one["spec"].get("replicas", 1))}}
        cluster.patch("deployments", one["metadata"]["name"], change, manager=_MANAGER)
    tell(f"stopped {_names(found)}")
    for one in found:
        chosen = ",".join(f"{k}={v}" for k, v in one["spec"]["selector"]["matchLabels"].items())
        until = time.monotonic() + _GONE_SECONDS
        while cluster.list("pods", chosen):
            if time.monotonic() > until:
                raise EnvironmentProblem(
                    f"{one['metadata']['name']} does not end.", where=cluster.where,
                    hint="see what keeps its pods; the same command goes on from there",
                )  # fmt: skip
            time.sleep(_PAUSE)


def start_servers(cluster: Cluster, tell: Tell) -> None:
    """Start what was stopped, and wait until it is ready."""
    found = cluster.list("deployments", STATEFUL)
    for one in found:
        name = one["metadata"]["name"]
        had = int(one["metadata"].get("annotations", {}).get(REPLICAS, one["spec"]["replicas"]))
        change = {"spec": {"replicas": had}, "metadata": {"annotations": {REPLICAS: None}}}
        now = cluster.patch("deployments", name, change, manager=_MANAGER)
        # Else Helm's next upgrade would be told that the replicas are somebody else's.
        others = [m for m in now["metadata"]["managedFields"] if m.get("manager") != _MANAGER]
        cluster.patch("deployments", name, {"metadata": {"managedFields": others}})
    tell(f"started {_names(found)}")
    until = time.monotonic() + _READY_SECONDS
    for one in found:
        while not _is_ready(cluster, one["metadata"]["name"]):
            if time.monotonic() > until:
                raise EnvironmentProblem(
                    f"{one['metadata']['name']} does not become ready.", where=cluster.where,
                    hint=f"kubectl -n {cluster.namespace} describe pods tells why",
                )  # fmt: skip
            time.sleep(_PAUSE)


def _schedule(cluster: Cluster, site: Site) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Have recurring runs recur again: the names of those that would not have, what went wrong."""
    try:
        with reach(cluster, site.kfp.url, site.kfp.client_url) as url:
            server = connect(url, cluster.namespace, patience=_READY_SECONDS)
            return tuple(revive(server, cluster)), ()
    except HeadraceError as error:
        return (), (f"recurring runs may not recur: {error.what}",)


def _serve(
    cluster: Cluster, site: Site, wanted: Sequence[Mapping[str, Any]], tell: Tell
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Serve again what was served: the names, and what went wrong."""
    served, troubles = [], []
    for one in wanted:
        name, version = f"{one['model']} {one['version']}", str(one["version"])
        tell(f"serving {name}")
        scale = Scale(
            replicas=one["replicas"], max_replicas=one["max_replicas"], cpu=one["cpu"],
            memory=one["memory"],
        )  # fmt: skip
        try:
            with reach(cluster, site.mlflow.url, site.mlflow.client_url) as uri:
                found = servable(uri, one["model"], version)
            deployed.serve(
                cluster, site, found, alias=one["alias"], scale=scale, run=one["run"], tell=tell
            )
        except HeadraceError as error:
            troubles.append(f"{name} is not served: {error.what}")
        else:
            served.append(name)
    kept = {str(one["model"]) for one in wanted}
    for other in deployed.running(cluster):
        if other.name not in kept:
            troubles.append(f"{other.name} {other.version} is served, and was not at the time")
    return tuple(served), tuple(troubles)


def _done(
    cluster: Cluster,
    template: str,
    what: str,
    tell: Tell,
    *,
    backup: str = "",
    words: Sequence[str] = (),
    alone: bool = True,
) -> Any:
    """Have a pod do something, and return what its last line says."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    job = chores.from_template(
        _template(cluster, template), f"{template}-{what}-{stamp}", args=[*words, what],
        variables={VARIABLE: backup}, marked={CHORE: what}, alone=alone,
    )  # fmt: skip
    lines = chores.run(cluster, job, tell)
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise EnvironmentProblem(
            f"What {template} has said last could not be read, though it has ended well.",
            where=cluster.where,
            hint="the same command does it again",
        ) from error


def _template(cluster: Cluster, name: str) -> Manifest:
    found = cluster.get("podtemplates", name)
    if found is None:
        raise EnvironmentProblem(
            "The site has no place for backups.",
            where=cluster.where,
            hint="name one: helm upgrade … --set backup.to=s3://BUCKET/PREFIX",
        )
    return found


def _loaded(cluster: Cluster) -> set[str]:
    """The dumps that the site's restoration would load."""
    spec = _template(cluster, RESTORE)["template"]["spec"]
    names = {one["name"] for one in spec.get("initContainers") or []}
    return {dump for container, dump in _LOADS.items() if container in names}


def _is_ready(cluster: Cluster, name: str) -> bool:
    found = cluster.get("deployments", name) or {}
    status, wanted = found.get("status", {}), found.get("spec", {}).get("replicas", 1)
    observed = status.get("observedGeneration", 0) >= found.get("metadata", {}).get("generation", 0)
    return bool(observed and status.get("readyReplicas", 0) >= wanted)


def _listed(dumps: set[str]) -> str:
    return ", ".join(sorted(dumps)) or "none"


def _names(found: Sequence[Manifest]) -> str:
    return ", ".join(sorted(one["metadata"]["name"] for one in found)) or "nothing"
