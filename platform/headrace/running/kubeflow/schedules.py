"""Recurring runs of a Kubeflow Pipelines server, whose objects the cluster may have lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from headrace.cluster.client import Cluster
from headrace.running.kubeflow.server import Server

_PATH = "/apis/v2beta1/recurringruns"
_GIVEN = (
    "display_name", "description", "pipeline_spec", "pipeline_version_reference", "runtime_config",
    "service_account", "max_concurrency", "trigger", "mode", "no_catchup", "experiment_id",
)  # fmt: skip
"""What a recurring run is made of. All else the server adds, the namespace by its experiment."""


def revive(server: Server, cluster: Cluster) -> list[str]:
    """Make anew the recurring runs that the server knows and the cluster has no object of.

    The server knows each by the object's UID, which nobody can choose: so it becomes a new one
    of the same name, and the old one is deleted.

    Returns:
        Their names.
    """
    there = {one["metadata"]["uid"] for one in cluster.list("scheduledworkflows")}
    lost = [one for one in _all(server) if one["recurring_run_id"] not in there]
    for one in lost:
        server.json("POST", _PATH, body={key: one[key] for key in _GIVEN if key in one})
        server.ask("DELETE", f"{_PATH}/{quote(one['recurring_run_id'], safe='')}")
    return [str(one["display_name"]) for one in lost]


def _all(server: Server) -> Iterator[dict[str, Any]]:
    page = ""
    while True:
        query = {"page_size": "100", "namespace": server.namespace, "page_token": page}
        found = server.json("GET", _PATH, query=query)
        yield from found.get("recurringRuns", [])
        page = found.get("next_page_token", "")
        if not page:
            return
