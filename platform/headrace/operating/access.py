"""What of a run's site can be reached from here, for looking: never a reason to fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from headrace.cluster.client import Cluster
from headrace.cluster.contexts import connect
from headrace.cluster.errors import Unreachable
from headrace.core.errors import HeadraceError
from headrace.data.store import Store
from headrace.running.target import target
from headrace.sites.cluster import Site

_STORE_PATIENCE = 3


@dataclass(frozen=True, kw_only=True)
class Access:
    """A site as far as it answers."""

    context: str
    """The kubeconfig's context."""
    namespace: str
    """The namespace."""
    cluster: Cluster | None = None
    """The cluster; None if it does not answer."""
    site: Site | None = None
    """What the site says; None if it could not be read."""
    store: Store | None = None
    """Its store; None if there is no way to it."""
    problem: HeadraceError | None = None
    """Why something is missing."""

    @property
    def where(self) -> str:
        """Context and namespace, as people write them."""
        return f"{self.context}/{self.namespace}"


@contextmanager
def access(known: Mapping[str, str]) -> Iterator[Access]:
    """The site of a run, with whatever of it can be reached.

    Args:
        known: `context` and `namespace`, as the run's journal has them.
    """
    with ExitStack() as ways:
        yield _find(known["context"], known.get("namespace", ""), ways)


def _find(context: str, namespace: str, ways: ExitStack) -> Access:
    found = Access(context=context, namespace=namespace)
    try:
        cluster = connect(context, namespace)
        found = replace(found, namespace=cluster.namespace, cluster=cluster)
        there = target(context, cluster.namespace, ways)
    except Unreachable as problem:
        return replace(found, cluster=None, problem=problem)
    except HeadraceError as problem:
        return replace(found, problem=problem)
    store = replace(there.store, patience=_STORE_PATIENCE)
    return replace(found, site=there.site, store=store)
