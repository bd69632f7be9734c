"""What accounts may do on a site: this client's, and that of its steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from headrace.cli.checks.finding import Finding, fine, wrong
from headrace.cluster.client import Cluster
from headrace.cluster.problems import listed
from headrace.core.errors import HeadraceError
from headrace.data.probing import missing

_ALL = ("get", "list", "watch", "create", "patch", "delete")
CLIENT = {
    "jobs": _ALL,
    "pods": _ALL,
    "pods/log": ("get",),
    "events": ("list",),
    "rayjobs": ("get", "list", "delete"),
    "rayclusters": ("get", "list", "delete"),
    "services": _ALL,
    "deployments": _ALL,
    "replicasets": ("list",),
    "horizontalpodautoscalers": _ALL,
    "poddisruptionbudgets": _ALL,
    "networkpolicies": _ALL,
    "persistentvolumeclaims": ("get", "list", "create", "delete"),
    "configmaps": ("list", "delete"),
}
"""What running, watching, serving and clearing away ask of the cluster."""
STEPS = {
    "pods": (*_ALL, "deletecollection"),
    "pods/log": ("get",),
    "events": ("list",),
    "configmaps": (*_ALL, "deletecollection"),
    "services": _ALL,
    "persistentvolumeclaims": ("get", "list", "create", "delete", "deletecollection"),
    "rayjobs": _ALL,
    "rayclusters": _ALL,
    "jobs": ("get", "list"),
    "deployments": _ALL,
    "replicasets": ("list",),
    "horizontalpodautoscalers": _ALL,
    "poddisruptionbudgets": _ALL,
    "networkpolicies": _ALL,
}
"""What Spark's driver, a Ray step and a serving step ask of it, as their pod's account."""
_AT_ONCE = 8


def check_access(cluster: Cluster) -> Finding:
    """Whether whoever asks may do what a client does."""
    parts = [{thing: verbs} for thing, verbs in CLIENT.items()]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        lacking = [
            one for part in pool.map(lambda one: missing(cluster, one), parts) for one in part
        ]
    if not lacking:
        return fine("access", f"{who(cluster)} may do all that running and serving take")
    return wrong(
        "access",
        f"{who(cluster)} may {summed_up(lacking, CLIENT)}",
        "have the Role headrace-user bound to it: `users` in the chart's values",
    )


def check_steps(account: str, lacking: Sequence[str]) -> Finding:
    """Whether the account of step pods may do what steps do."""
    if not lacking:
        return fine("account", f"{account} may do all that steps take")
    return wrong(
        "account",
        f"{account} may {summed_up(lacking, STEPS)}",
        "have the Role headrace-step bound to it: `extraServiceAccounts` in the chart's values",
    )


def who(cluster: Cluster) -> str:
    """The name by which the cluster knows whoever asks."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    try:
        found = cluster.ask(path, method="POST", body=review)
    except HeadraceError:
        return "this account"
    return str(found["status"]["userInfo"]["username"])


def summed_up(lacking: Iterable[str], needs: Mapping[str, Sequence[str]]) -> str:
    """What is lacking, as the end of a sentence with `may`.

    >>> needs = {"jobs": ("get", "create"), "pods": ("get", "list"), "pods/log": ("get",)}
    >>> summed_up(["create jobs"], needs), summed_up(["get jobs", "create jobs"], needs)
    ('not create jobs', 'do nothing with jobs')
    """
    by_thing: dict[str, list[str]] = {}
    for one in lacking:
        verb, _, thing = one.partition(" ")
        by_thing.setdefault(thing, []).append(verb)
    shut = [thing for thing, verbs in by_thing.items() if len(verbs) == len(needs[thing])]
    parts = [f"do nothing with {listed(shut)}"] if shut else []
    parts += [
        f"not {', '.join(verbs)} {thing}" for thing, verbs in by_thing.items() if thing not in shut
    ]
    return "; ".join(parts)
