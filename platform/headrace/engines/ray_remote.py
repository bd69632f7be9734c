"""A training on the cluster, as the step's own pod sees it: begun, followed and cleared away."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from headrace.cluster import errors
from headrace.cluster.client import Cluster, Manifest
from headrace.core.errors import EnvironmentProblem, HeadraceError, StepFailed
from headrace.core.states import State
from headrace.data.store import Store
from headrace.engines import ray_evidence, ray_kubernetes, ray_states, ray_watching
from headrace.engines.ray_dashboard import Dashboard, NotAnswering
from headrace.engines.ray_kubernetes import Asked
from headrace.engines.ray_logs import Following, until
from headrace.engines.ray_watching import Pods, Watched

RESULT = "ray-result.json"
"""What the job on the head leaves in the attempt's folder, last of all."""
EVENTS = "ray/events.jsonl"
"""Everything that the job has told, in that folder."""
_PAUSE = 0.4
_STATUS_PAUSE = 2.0
_OPERATOR_PATIENCE = 30.0
_ROOM_PATIENCE = 20.0
_DRAIN = 3.0


@dataclass(kw_only=True)
class Remote:
    """One training on the cluster."""

    asked: Asked
    """What KubeRay is asked for."""
    cluster: Cluster
    """The cluster, in the step's namespace."""
    store: Store
    """The site's object store."""
    folder: str
    """The URI of this attempt's folder, which holds what the job reads."""
    on_report: Callable[[Mapping[str, float], int], None]
    """Called with each report's metrics and index."""
    on_note: Callable[[str], None]
    """Called with a sentence when something happens."""
    on_line: Callable[[str], None]
    """Called with each line that the job and its workers print."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What the job's processes need in their environment on a cluster that stays."""
    taking: threading.Lock = field(default_factory=threading.Lock)
    """Held by whoever takes an event in: they come by two ways."""
    told: int = 0
    """How many of the job's events were taken in."""
    started: bool = False
    """Whether the workers are at work."""
    waiting_since: float = field(default_factory=time.monotonic)
    """Since when they are waited for."""
    following: Following | None = None
    """Who reads the head's output."""
    noted: set[str] = field(default_factory=set)
    """What was said once already."""
    pods: Pods = field(init=False)
    """The pods."""
    ray_job: Manifest | None = None
    """The RayJob as it was last seen."""

    @property
    def stays(self) -> bool:
        """Whether the cluster is the site's own, which stays."""
        return bool(self.asked.site.ray_cluster)

    def run(self) -> dict[str, Any]:
        """Run the training and return the result that the job has left.

        Raises:
            StepFailed: The head died, workers cannot start, or the job ended without a result.
            EnvironmentProblem: The cluster has no KubeRay, or the site's Ray cluster is not there.
        """
        warm = f"ray.io/cluster={self.asked.site.ray_cluster}"
        chosen = warm if self.stays else ray_watching.selector(self.asked.name)
        self.pods = Pods(self.cluster, chosen, self.on_note, stays=self.stays)
        result = None
        try:
            self._begin()
            result = self._await()
            self._catch_up(int(result.get("events", 0)))
            if "lost" in result:
                result["lost"]["why"] = self.reason(result["lost"])
            return result
        finally:
            self._clear(ended=result is not None)

    def _begin(self) -> None:
        if self.stays:
            return _check_cluster(self.cluster, self.asked.site.ray_cluster)
        try:
            self.ray_job = self.cluster.create(ray_kubernetes.ray_job(self.asked))
        except errors.NotThere as error:
            raise EnvironmentProblem(
                "The cluster does not know RayJobs: KubeRay is not installed.",
                where=self.cluster.where,
                hint="have its operator and custom resources installed, version 1.3 or later",
            ) from error

    def _await(self) -> dict[str, Any]:
        job, looked = "", 0.0
        while True:
            self.pods.look()
            if found := self.store.read(f"{self.folder}/{RESULT}"):
                return dict(json.loads(found))
            self._check_head()
            self._check_start()
            if self.following is None:
                self.following = self._submit()
            elif time.monotonic() - looked > _STATUS_PAUSE:
                looked = time.monotonic()
                job = self._check_job(job)
            if not self.stays:
                self._check_ray_job()
            time.sleep(_PAUSE)

    def _check_head(self) -> None:
        head = self.pods.head
        if head is None and self.stays:
            raise StepFailed(f"The Ray cluster {self.asked.site.ray_cluster} has no head now.")
        if head and head.death:
            raise StepFailed(
                f"Ray's head {head.death}; its workers ended with it.",
                where=f"pod {head.name}",
                hint=f"{head.remedy}; " * bool(head.remedy)
                + "run again or give the step retries: it goes on from its last checkpoint",
            )

    def _check_start(self) -> None:
        """Say what keeps pods from starting, and give up when that lasts too long."""
        if self.started:
            return
        limit = self.asked.site.limits.pending
        fewest = self.asked.spec.min_workers or self.asked.spec.workers
        enough = self.pods.head is not None and self.pods.started_workers() >= fewest
        if trouble := "" if enough else self.pods.trouble(limit):
            raise StepFailed(
                f"The Ray cluster does not come up: {trouble}.",
                hint=f"the site waits {limit} s for pods to start (limits.pending)",
            )
        if self.stays and self.following:
            self._check_room(limit)

    def _check_room(self, limit: int) -> None:
        waited = time.monotonic() - self.waiting_since
        room = f"room for {self.asked.spec.workers} workers in {self.asked.site.ray_cluster}"
        if waited > limit:
            raise StepFailed(f"There was no {room} for {limit} s (limits.pending).")
        if waited > _ROOM_PATIENCE:
            self._note_once(f"waits for {room}")

    def _submit(self) -> Following | None:
        """Submit the job as soon as the head takes one, before its workers are there."""
        head = self.pods.head
        if head is None or not head.address or not head.started:
            return None
        try:
            self._dashboard(head).submit(
                self.asked.name,
                self.asked.entrypoint,
                variables=self.variables if self.stays else {},
                about=dict(self.asked.labels[ray_kubernetes.HEAD]),
            )
        except NotAnswering:
            return None  # it is still starting; KubeRay would submit the job too, later
        self.waiting_since = time.monotonic()
        return Following(
            self.cluster,
            head.name,
            str(head.manifest["spec"]["containers"][0]["name"]),
            self.asked.name,
            on_line=self.on_line,
            on_event=self.take,
        )

    def _check_job(self, before: str) -> str:
        """Ray's own word on the job; one that has ended without a result has failed."""
        head = self.pods.head
        if head is None:
            return before
        try:
            found = self._dashboard(head).job(self.asked.name) or {}
        except NotAnswering:
            return before
        state = str(found.get("status") or "")
        known = ray_states.meaning(ray_states.JOB, state, "Ray's job")
        if not known.state.done:
            return state
        if state != before:
            return state  # its result may be on its way: look once more
        said = str(found.get("message") or "").strip().splitlines()
        raise StepFailed(
            f"Ray's job ended without a result: {known.sentence}.",
            where=said[-1][:300] if said else (),
            hint=f"what it printed last is at {self.folder}/ray/",
        )

    def _check_ray_job(self) -> None:
        found = self.cluster.get("rayjobs", self.asked.name)
        if found is None:
            raise StepFailed(f"The RayJob {self.asked.name} was deleted.")
        self.ray_job = found
        status = found.get("status") or {}
        state = str(status.get("jobDeploymentStatus") or "")
        if why := ray_states.ray_job_end(status):
            raise StepFailed(f"KubeRay gave the training up: {why}.", where=self.asked.name)
        if state == "Suspended":
            self._note_once(f"waits to be admitted by queue {self.asked.site.queue}")
        late = time.monotonic() - self.waiting_since > _OPERATOR_PATIENCE
        if not state and late and not self.pods.seen and not found["spec"].get("suspend"):
            raise EnvironmentProblem(
                f"Nobody takes care of the RayJob {self.asked.name}: "
                f"it has no status after {_OPERATOR_PATIENCE:.0f} s.",
                where=self.cluster.where,
                hint="is KubeRay's operator running, and does it watch this namespace?",
            )

    def take(self, event: Mapping[str, Any]) -> None:
        """Take in what the job tells. Told twice, it counts once."""
        with self.taking:
            if event["seq"] <= self.told:
                return
            self.told = event["seq"]
        match event["type"]:
            case "report":
                self.on_report(event["metrics"], event["index"])
            case "note":
                self.on_note(event["text"])
            case "started":
                self.started = True
                self.pods.all_well()
            case "lost":
                self.started = False
                self.pods.wait_again()
                self.on_note(self.loss(event))

    def loss(self, lost: Mapping[str, Any]) -> str:
        """The sentence about a worker that was lost and the group's restart."""
        at = lost["checkpoint"]
        start = "the beginning" if at is None else f"checkpoint {at}"
        count = f"{lost['failures']} of {self.asked.spec.max_failures}"
        return f"{self.reason(lost)}; restarting from {start} ({count})"

    def reason(self, lost: Mapping[str, Any]) -> str:
        """Who was lost and why, by the cluster's account, or else by Ray's."""

        def dead() -> str:
            pod = self.pods.named(lost["host"])
            return pod.death if pod else ""

        who = f"worker {lost['rank']}"
        if until(lambda: bool(dead()), _DRAIN):
            return f"{who} was lost: its pod {dead()}"
        return f"{who} was lost: {lost['said']}"

    def _catch_up(self, count: int) -> None:
        """Wait for the last lines; what does not come with them is read from the store."""
        following = self.following
        if following is not None:
            until(lambda: self.told >= count and following.finished, _DRAIN)
        if self.told < count and (kept := self.store.read(f"{self.folder}/{EVENTS}")):
            for line in kept.decode().splitlines():
                self.take(json.loads(line))

    def _clear(self, *, ended: bool) -> None:
        """Leave nothing behind but evidence."""
        leaving = isinstance(sys.exc_info()[1], SystemExit | KeyboardInterrupt)
        if self.following is not None:
            self.following.stop(0.0 if ended or leaving else 2.0)
        logs = {} if ended or leaving else ray_evidence.pod_logs(self.cluster, self.pods)
        self._remove()
        with suppress(HeadraceError):
            ray_evidence.keep(
                self.store,
                self.folder,
                pods=self.pods,
                ray_job=self.ray_job,
                following=self.following,
                logs=logs,
            )

    def _remove(self) -> None:
        if not self.stays:
            self.cluster.delete("rayjobs", self.asked.name)
            return
        head = self.pods.head
        if head is None or self.following is None:
            return
        dashboard, job = self._dashboard(head), self.asked.name
        with suppress(NotAnswering):
            if not _over(dashboard, job):
                dashboard.stop(job)
            until(lambda: _over(dashboard, job), 5.0)
            dashboard.forget(job)

    def _note_once(self, text: str) -> None:
        if text not in self.noted:
            self.noted.add(text)
            self.on_note(text)

    def _dashboard(self, head: Watched) -> Dashboard:
        return Dashboard(host=head.address)


def _over(dashboard: Dashboard, job: str) -> bool:
    state = str((dashboard.job(job) or {}).get("status") or "STOPPED")
    return ray_states.meaning(ray_states.JOB, state, "Ray's job").state.done


def _check_cluster(cluster: Cluster, name: str) -> None:
    """See that the site's own Ray cluster is there.

    Raises:
        EnvironmentProblem: It is not, or it is not ready.
    """
    found = cluster.get("rayclusters", name)
    if found is None:
        raise EnvironmentProblem(
            f"There is no RayCluster {name!r}, which the site names for Ray steps.",
            where=cluster.where,
            hint="make it, or empty rayCluster in the chart's values: then each step has its own",
        )
    state = str((found.get("status") or {}).get("state") or "")
    known = ray_states.meaning(ray_states.CLUSTER, state, f"the RayCluster {name}")
    if known.state is not State.RUNNING:
        raise EnvironmentProblem(
            f"The RayCluster {name!r} is not ready: {known.sentence}.", where=cluster.where
        )
