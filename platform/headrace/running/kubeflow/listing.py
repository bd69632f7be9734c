"""Which runs a Kubeflow Pipelines server has, and what people call them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headrace.running.kubeflow.server import Server, equal
from headrace.running.kubeflow.workflow import when

NEWEST = 100
"""How many runs are looked at, the newest."""
_RUNS = "/apis/v2beta1/runs"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A run as it stands in the server's list."""

    run: str
    """Its id, which the server has made."""
    called: str
    """What people call it; nothing keeps two runs from being called alike."""
    created: float
    """Unix seconds."""


def is_there(called: str, server: Server) -> bool:
    """Whether the server has a run that people call so.

    Raises:
        EnvironmentProblem: The server does not answer.
    """
    query = {"namespace": server.namespace, **equal("display_name", called)}
    return bool(server.json("GET", _RUNS, query=query).get("runs"))


def listing(server: Server) -> list[Listed]:
    """The newest runs of the server's namespace, oldest first.

    Raises:
        EnvironmentProblem: The server does not answer.
    """
    query = {
        "namespace": server.namespace, "page_size": str(NEWEST), "sort_by": "created_at desc",
    }  # fmt: skip
    found = server.json("GET", _RUNS, query=query).get("runs") or []
    return sorted(_listed(found), key=lambda one: one.created)


def _listed(runs: Iterable[dict[str, str]]) -> Iterable[Listed]:
    for one in runs:
        created = when(one["created_at"]) or 0.0
        yield Listed(run=one["run_id"], called=one.get("display_name") or "", created=created)
