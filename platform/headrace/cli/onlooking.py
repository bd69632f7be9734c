"""Says what is wrong with a namespace's pods while something else waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from headrace.cluster import diagnosis, labels
from headrace.cluster.client import Cluster
from headrace.core.errors import HeadraceError

_LOOK_SECONDS = 3.0

Tell = Callable[[str], None]


@contextmanager
def telling_troubles(cluster: Cluster, tell: Tell) -> Iterator[None]:
    """Tell each trouble once that is there at two looks in a row; pods of runs are passed over.

    Args:
        cluster: The cluster, in the namespace.
        tell: Told a line for each, from a thread of its own.
    """
    over = threading.Event()

    def look() -> None:
        before: Mapping[str, str] = {}
        told: set[str] = set()
        while not over.wait(_LOOK_SECONDS):
            with suppress(HeadraceError):  # Helm tells if the cluster does not answer
                now = troubles(cluster.list("pods"), cluster.list("events"))
                for pod, text in now.items():
                    # Pods that follow one another have the same trouble.
                    if before.get(pod) == text and text not in told:
                        told.add(text)
                        tell(f"{pod}: {text}")
                before = now

    thread = threading.Thread(target=look, name="onlooker", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_LOOK_SECONDS)


def troubles(pods: Sequence[Any], events: Sequence[Any]) -> dict[str, str]:
    """What is wrong, and what would help, by the pod's name."""
    found = {}
    for pod in pods:
        if labels.RUN in pod["metadata"].get("labels", {}):
            continue
        problem = diagnosis.of_pod(pod, events)
        if problem is not None:
            remedy = f" (try: {problem.remedy})" if problem.remedy else ""
            found[str(pod["metadata"]["name"])] = f"{problem.text}{remedy}"
    return found
