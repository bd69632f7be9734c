"""One version takes another one's place on a cluster, or leaves no trace.

The objects are applied, Kubernetes replaces pod by pod, and whoever asked waits for the new
version to answer. If it cannot, or if the wait is cut short, what was there before is put back.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from headrace.cluster import labels, queues
from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.diagnosis import events_about
from headrace.cluster.errors import ClusterProblem
from headrace.cluster.kinds import plural
from headrace.cluster.problems import Cause, Problem
from headrace.cluster.tunnels import is_ready
from headrace.core.errors import StepFailed
from headrace.serving import restoring, troubles
from headrace.serving.manifests import manifests
from headrace.serving.offers import ROLLOUT, Offer, selecting
from headrace.serving.troubles import Patience, Trouble

LOG_LINES = 15
_PAUSE = 1.0
_MISSING_MODULE = "the image lacks a module: save it with the model (save_model(code_paths=[...]))"

_TOO_LONG = Trouble(
    problem=Problem(
        cause=Cause.DEADLINE,
        text="it took too long",
        remedy="`kubectl describe pods` says what its pods wait for",
    )
)

Tell = Callable[[str], None]


class Superseded(StepFailed):
    """Another roll-out of the same model has begun, or it was stopped: nothing is put back."""


def roll_out(cluster: Cluster, offer: Offer, tell: Tell, patience: Patience | None = None) -> None:
    """Serve a version, and return once its pods answer and no other version's are left.

    Args:
        cluster: Where.
        offer: The version; its `rollout` must be a name that was never used before.
        tell: Told what the wait is about, a line each.
        patience: How long troubles may last; the site's limits unless given.

    Raises:
        StepFailed: It did not become ready; what was there before is there again. With the
            last lines of its log.
        Superseded: Another roll-out has taken over.
        ClusterProblem: The cluster refuses the objects; likewise.
    """
    allowed = patience or Patience(room=float(offer.site.limits.pending))
    rollout = _Rollout(cluster, offer, tell, allowed)
    with _ended_by_exception():
        try:
            rollout.apply()
            rollout.wait()
        except Superseded:
            raise
        except BaseException:
            rollout.undo()
            raise


def complete(deployment: Manifest, least: int) -> bool:
    """Whether only pods of the present template are there, and enough of them answer.

    Args:
        deployment: As the cluster has it now.
        least: How many must answer; those that the autoscaler adds may be on their way.
    """
    status = deployment.get("status", {})
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    there, updated = status.get("replicas", 0), status.get("updatedReplicas", 0)
    return bool(seen and there == updated and status.get("availableReplicas", 0) >= max(least, 1))


def last_lines(cluster: Cluster, trouble: Trouble) -> list[str]:
    """What a container that ended said last."""
    if not trouble.container:
        return []
    with suppress(ClusterProblem):
        lines = cluster.logs(trouble.pod, container=trouble.container, previous=trouble.again)
        return list(deque(lines, maxlen=LOG_LINES))
    return []


class _Rollout:
    """One roll-out: what was there before, what was changed, what has been told."""

    def __init__(self, cluster: Cluster, offer: Offer, tell: Tell, patience: Patience) -> None:
        self.cluster = cluster
        self.offer = offer
        self.tell = tell
        self.patience = patience
        self.before = restoring.take(cluster, offer.name)
        self.changed: list[str] = []
        self.began: dict[tuple[str, Cause], float] = {}
        self.ready = -1

    def apply(self) -> None:
        """Make the objects what the offer says; the autoscaler's choice of replicas is kept."""
        scale, there = self.offer.scale, self.before.deployment
        now = there["spec"].get("replicas", 1) if there else 0
        replicas = min(max(now, scale.replicas), max(scale.replicas, scale.max_replicas))
        for one in manifests(self.offer, replicas=replicas):
            self.changed.append(plural(one["kind"]))
            self.cluster.apply(one)

    def wait(self) -> None:
        """Return once it is done; raise as soon as it is hopeless."""
        until = time.monotonic() + self.patience.whole
        while not complete(found := self.current(), self.offer.scale.replicas):
            trouble = self.look(found)
            if trouble is None and time.monotonic() > until:
                trouble = _TOO_LONG
            if trouble is not None:
                raise self.failure(trouble)
            time.sleep(_PAUSE)

    def current(self) -> Manifest:
        """The Deployment, as long as it is this roll-out's."""
        found = self.cluster.get("deployments", self.offer.name)
        model = self.offer.version.name
        if found is None:
            raise Superseded(f"{model} was stopped while it was being rolled out.")
        if found["metadata"].get("annotations", {}).get(ROLLOUT) != self.offer.rollout:
            raise Superseded(f"Another roll-out of {model} has taken over.")
        return found

    def look(self, deployment: Manifest) -> Trouble | None:
        """Tell of what is new; the trouble that has lasted too long, if one has."""
        pods = self.new_pods(deployment)
        found = [troubles.of_deployment(deployment)]
        for one in pods:
            if not is_ready(one):
                events = events_about(self.cluster, one["metadata"]["name"])
                trouble = troubles.of_pod(one, events)
                if trouble and (told := queues.explained(self.cluster, one, trouble.problem)):
                    trouble = replace(trouble, problem=told)
                found.append(trouble)
        ready = sum(map(is_ready, pods))
        if ready != self.ready:
            self.ready = ready
            wanted = deployment["spec"].get("replicas", 1)
            self.tell(f"version {self.offer.version.version}: {ready} of {wanted} replicas ready")
        return next((one for one in found if one and self.is_too_long(one)), None)

    def is_too_long(self, trouble: Trouble) -> bool:
        """Whether a trouble has lasted for longer than is borne. Tells of it when it begins."""
        key = (trouble.pod, trouble.problem.cause)
        if key not in self.began:
            self.began[key] = time.monotonic()
            self.tell(f"{trouble.pod or self.offer.name}: {trouble.problem.text}")
        return time.monotonic() - self.began[key] >= self.patience.of(trouble)

    def new_pods(self, deployment: Manifest) -> list[Manifest]:
        """The pods of the Deployment's present template, and no others."""
        observed = deployment.get("status", {}).get("observedGeneration", 0)
        if observed < deployment["metadata"]["generation"]:
            return []
        revision = restoring.revision_of(deployment)
        sets = restoring.replica_sets(self.cluster, deployment)
        hashes = {
            one["metadata"]["labels"].get(restoring.TEMPLATE_HASH)
            for one in sets
            if restoring.revision_of(one) == revision
        }
        selector = labels.selector(selecting(self.offer.version.name))
        return [
            pod
            for pod in self.cluster.list("pods", selector)
            if pod["metadata"]["labels"].get(restoring.TEMPLATE_HASH) in hashes
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def failure(self, trouble: Trouble) -> StepFailed:
        """What is raised, with the evidence that undoing takes away."""
        version = self.offer.version
        lines = last_lines(self.cluster, trouble)
        missing = any("ModuleNotFoundError" in line for line in lines)
        before = restoring.version_of(self.before.deployment) if self.before.deployment else ""
        after = f"Version {before} is served as before." if before else "It was removed again."
        why = trouble.problem.text
        told = f"Version {version.version} of {version.name} did not become ready: {why}."
        crashed = trouble.problem.cause is Cause.CRASH
        hint = "see that the model can be loaded" if crashed else trouble.problem.remedy
        return StepFailed(
            "\n".join([f"{told} {after}", *(f"  | {line}" for line in lines)]),
            where=[self.cluster.where, f"deployment {self.offer.name}"],
            hint=_MISSING_MODULE if missing else hint,
        )

    def undo(self) -> None:
        """Put back what was there; if the cluster cannot be reached, tell what is left."""
        name, model = self.offer.name, self.offer.version.name
        try:
            if "deployments" in self.changed:
                self.current()
            version = restoring.put_back(self.cluster, self.before, self.changed)
        except Superseded:
            return
        except ClusterProblem as problem:
            self.tell(f"{name} could not be put back as it was: {problem.what}")
        else:
            again = f"version {version} of {model} is served as before"
            self.tell(f"rolled back: {again if version else f'nothing of {model} is left'}")


@contextmanager
def _ended_by_exception() -> Iterator[None]:
    """Have SIGTERM raise SystemExit, where nobody else handles it: a step's pod that is deleted."""
    ours = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if not ours:
        yield
        return

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
