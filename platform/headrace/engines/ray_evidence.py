"""What is kept of a training once its cluster is gone: below `ray/` in the attempt's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.errors import ClusterProblem
from headrace.data.store import Store
from headrace.engines.ray_logs import Following, Tail
from headrace.engines.ray_watching import Pods, Watched

_PODS = 16
"""Of how many pods logs are kept, the dead first."""
_EVENTS = 200


def pod_logs(cluster: Cluster, pods: Pods) -> dict[str, str]:
    """The output of the pods' containers, and of their earlier lives, by a file's name."""
    chosen = sorted(pods.seen.values(), key=lambda one: not one.death)[:_PODS]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: _logs_of(cluster, one), chosen))
    return {name: text for some in found for name, text in some.items()}


def keep(
    store: Store,
    folder: str,
    *,
    pods: Pods,
    ray_job: Manifest | None,
    following: Following | None,
    logs: Mapping[str, str],
) -> None:
    """Put everything into the store."""
    files = dict(logs)
    files["pods.json"] = _json([one.facts() for one in pods.seen.values()])
    if ray_job is not None:
        files["rayjob.json"] = _json(ray_job)
    if following is not None:
        files["driver.log"] = following.mine.text()
        files["head.log"] = following.others.text()
    if logs:
        files["cluster-events.json"] = _json(_events(pods))
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda one: store.write(f"{folder}/ray/{one[0]}", one[1].encode()), files.items()
            )
        )


def _logs_of(cluster: Cluster, pod: Watched) -> dict[str, str]:
    container = str(pod.manifest["spec"]["containers"][0]["name"])
    found = {}
    for name, previous in ((f"{pod.name}.log", False), (f"{pod.name}.before.log", True)):
        tail = Tail()
        with suppress(ClusterProblem):
            for line in cluster.logs(pod.name, container=container, previous=previous):
                tail.add(line)
        if text := tail.text():
            found[name] = text
    return found


def _events(pods: Pods) -> list[dict[str, Any]]:
    """What the cluster has said of these pods."""
    names = {one.name for one in pods.seen.values()}
    with suppress(ClusterProblem):
        found = pods.cluster.list("events")
        ours = [one for one in found if one.get("involvedObject", {}).get("name") in names]
        return [
            {
                "at": one.get("lastTimestamp") or one.get("eventTime"),
                "pod": one["involvedObject"]["name"],
                "reason": one.get("reason"),
                "message": one.get("message"),
            }
            for one in ours[-_EVENTS:]
        ]
    return []


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, default=str)
