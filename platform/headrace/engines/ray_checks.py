"""What can go wrong with a training while its result is waited for, and how long one waits."""

from __future__ import annotations

import time
from collections.abc import Callable

from headrace.cluster import diagnosis, queues
from headrace.cluster.client import Cluster, Manifest
from headrace.core.errors import EnvironmentProblem, StepFailed
from headrace.core.states import State
from headrace.engines import ray_states
from headrace.engines.ray_dashboard import Dashboard, NotAnswering
from headrace.engines.ray_kubernetes import Asked
from headrace.engines.ray_watching import Pods

_STATUS_PAUSE = 2.0
"""Seconds between two questions after the job's state."""
_OPERATOR = 30.0
"""Seconds in which KubeRay has to look at a RayJob."""
_QUEUE_PAUSE = 5.0
"""Seconds between two questions what a queue waits for."""
_HELP = 120.0
"""Seconds for which somebody may come and mend what does not pass by itself."""
_PATIENCE = 15.0
"""Seconds after which it is said that something is waited for."""


class Checks:
    """Looks after a training.

    Args:
        asked: What was asked of KubeRay.
        cluster: The cluster.
        pods: The training's pods.
        folder: The URI of the attempt's folder.
        on_note: Told what is waited for.
    """

    def __init__(
        self,
        asked: Asked,
        cluster: Cluster,
        pods: Pods,
        folder: str,
        on_note: Callable[[str], None],
    ) -> None:
        self.ray_job: Manifest | None = None
        """The RayJob as it was last seen."""
        self._asked, self._cluster, self._pods = asked, cluster, pods
        self._folder = folder
        self._on_note = on_note
        self._started = False
        self._since = time.monotonic()
        self._asked_at = 0.0
        self._queue_asked = self._queue_hopeful = time.monotonic()
        self._job = ""
        self._noted: set[str] = set()
        self._silence = ""

    def at_work(self) -> None:
        """All workers are at work: what happened to them before does not matter any more."""
        self._started = True
        self._pods.all_well()

    def wait_anew(self) -> None:
        """Something has changed, and what comes next is waited for from now on."""
        self._started = False
        self._since = time.monotonic()
        self._pods.wait_again()

    def all(self, *, submitted: bool) -> None:
        """See that all is well.

        Args:
            submitted: Whether Ray has the job.

        Raises:
            StepFailed: There is nothing to wait for any more.
            EnvironmentProblem: KubeRay does not work.
        """
        self._head(submitted=submitted)
        if not self._asked.site.ray_cluster:
            self._ray_job()
        if not self._started:
            self._start(submitted=submitted)
        if submitted:
            self._ray_itself()

    def unanswered(self, said: str) -> None:
        """The head has not taken the job."""
        self._silence = said

    def _head(self, *, submitted: bool) -> None:
        head, warm = self._pods.head, self._asked.site.ray_cluster
        if not submitted and (warm or self._silence) and self._waited > _PATIENCE:
            why = f"takes no job: {self._silence[-300:]}" if head else "is not there"
            whose = f"the head of the Ray cluster {warm}" if warm else "Ray's head"
            self._note(f"waiting: {whose} {why}")
            if self._waited > self._asked.site.limits.pending:
                raise StepFailed(
                    f"{whose[0].upper()}{whose[1:]} {why}.", where=head.name if head else ()
                )
        if head and head.death:
            raise StepFailed(
                f"Ray's head {head.death}; its workers ended with it.",
                where=f"pod {head.name}",
                hint=f"{head.remedy}; " * bool(head.remedy)
                + "run again or give the step retries: it goes on from its last checkpoint",
            )

    def _ray_job(self) -> None:
        found = self._cluster.get("rayjobs", self._asked.name)
        if found is None:
            raise StepFailed(f"The RayJob {self._asked.name} was deleted.")
        self.ray_job = found
        status = found.get("status") or {}
        if why := ray_states.ray_job_end(status):
            raise StepFailed(f"KubeRay gave the training up: {why}.", where=self._asked.name)
        state = str(status.get("jobDeploymentStatus") or "")
        if state == "Suspended" or found["spec"].get("suspend"):
            self._since = time.monotonic()
            self._queue(found)
        elif not state and self._waited > _OPERATOR and not self._pods.seen:
            raise EnvironmentProblem(
                f"Nobody takes care of the RayJob {self._asked.name}: "
                f"it has no status after {_OPERATOR:.0f} s.",
                where=self._cluster.where,
                hint="is KubeRay's operator running, and does it watch this namespace?",
            )

    def _queue(self, ray_job: Manifest) -> None:
        """Say what the queue waits for, and give up where that does not come by itself."""
        if time.monotonic() - self._queue_asked < _QUEUE_PAUSE:
            return
        self._queue_asked = time.monotonic()
        found = queues.waiting(self._cluster).get(ray_job["metadata"]["uid"])
        problem = found or queues.unexplained(ray_job, None)
        self._note(f"waiting: the RayJob {problem.text}")
        if problem.cause is diagnosis.Cause.QUEUED:
            self._queue_hopeful = time.monotonic()
        elif time.monotonic() - self._queue_hopeful > _HELP:
            raise StepFailed(
                f"The RayJob {problem.text}.", where=self._asked.name, hint=problem.remedy
            )

    def _start(self, *, submitted: bool) -> None:
        """Say what keeps workers from starting, and give up when that lasts too long."""
        limit, spec = self._asked.site.limits.pending, self._asked.spec
        fewest = spec.min_workers or spec.workers
        there = self._pods.head is not None and self._pods.started_workers() >= fewest
        if trouble := "" if there else self._pods.trouble(limit) or self._no_pods(limit):
            raise StepFailed(
                f"The Ray cluster does not come up: {trouble}.",
                hint=f"the site waits {limit} s for pods to start (limits.pending)",
            )
        if submitted and self._asked.site.ray_cluster and self._waited > _PATIENCE:
            room = f"room for {fewest} workers in {self._asked.site.ray_cluster}"
            self._note(f"waiting for {room}")
            if self._waited > limit:
                raise StepFailed(f"There was no {room} for {limit} s (limits.pending).")

    def _no_pods(self, limit: int) -> str:
        """Why KubeRay has made no pods, once that has lasted too long."""
        name = str(((self.ray_job or {}).get("status") or {}).get("rayClusterName") or "")
        if self._pods.seen or not name or self._waited < _PATIENCE:
            return ""
        told = [
            " ".join(str(one.get("message", "")).split())
            for one in diagnosis.events_about(self._cluster, name)
            if one.get("type") == "Warning"
        ]
        said = f"KubeRay makes no pods for it{f': {told[-1][:300]}' if told else ''}"
        self._note(f"waiting: {said}")
        return said if self._waited > limit else ""

    def _ray_itself(self) -> None:
        """Ask Ray for the job: one that has ended without a result has failed."""
        head = self._pods.head
        if head is None or time.monotonic() - self._asked_at < _STATUS_PAUSE:
            return
        self._asked_at = time.monotonic()
        try:
            found = Dashboard(host=head.address).job(self._asked.name) or {}
        except NotAnswering:
            return
        before, self._job = self._job, str(found.get("status") or "")
        known = ray_states.meaning(ray_states.JOB, self._job, "Ray's job")
        if not known.state.done or self._job != before:
            return  # it runs, or its result may still be on its way
        said = str(found.get("message") or "").strip().splitlines()
        raise StepFailed(
            f"Ray's job ended without a result: {known.sentence}.",
            where=said[-1][:300] if said else (),
            hint=f"what it printed last is at {self._folder}/ray/",
        )

    @property
    def _waited(self) -> float:
        return time.monotonic() - self._since

    def _note(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._on_note(text)


def no_kuberay(cluster: Cluster) -> EnvironmentProblem:
    """The error where RayJobs are no kind of object."""
    return EnvironmentProblem(
        "The cluster does not know RayJobs: KubeRay is not installed.",
        where=cluster.where,
        hint="have its operator and custom resources installed, version 1.3 or later",
    )


def await_cluster(
    cluster: Cluster, name: str, *, seconds: float, on_note: Callable[[str], None]
) -> None:
    """Wait until the site's own Ray cluster is ready: it may be coming up, or have lost its head.

    Raises:
        EnvironmentProblem: It is not there, or not ready in that time.
    """
    since, noted = time.monotonic(), False
    while problem := _unready(cluster, name):
        if time.monotonic() - since > seconds:
            raise problem
        if not noted:
            on_note(f"waiting: {problem.what}")
        noted = True
        time.sleep(_STATUS_PAUSE)


def _unready(cluster: Cluster, name: str) -> EnvironmentProblem | None:
    found = cluster.get("rayclusters", name)
    if found is None:
        raise EnvironmentProblem(
            f"There is no RayCluster {name!r}, which the site names for Ray steps.",
            where=cluster.where,
            hint="make it (the chart does, with rayCluster.create), or have its name empty: "
            "then each step has a cluster of its own",
        )
    state = str((found.get("status") or {}).get("state") or "")
    known = ray_states.meaning(ray_states.CLUSTER, state, f"the RayCluster {name}")
    if known.state is State.RUNNING:
        return None
    return EnvironmentProblem(
        f"The RayCluster {name!r} is not ready: {known.sentence}.", where=cluster.where
    )
