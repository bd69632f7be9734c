"""A training on the cluster, as the step's own pod sees it: begun, followed and cleared away."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from headrace.cluster import errors, labels
from headrace.cluster.client import Cluster
from headrace.core.errors import HeadraceError
from headrace.data.store import Store
from headrace.engines import (
    ray_checks,
    ray_evidence,
    ray_kubernetes,
    ray_states,
    ray_watching,
)
from headrace.engines.ray_checks import Checks
from headrace.engines.ray_dashboard import Dashboard, NotAnswering
from headrace.engines.ray_kubernetes import Asked
from headrace.engines.ray_logs import Following, until
from headrace.engines.ray_watching import Pods

RESULT = "ray-result.json"
"""What the job on the head leaves in the attempt's folder, last of all."""
EVENTS = "ray/events.jsonl"
"""Everything that the job has told, in that folder."""
_PAUSE = 0.4
"""Seconds between two looks for the result. It is not all that a look costs: pods are listed."""
_DRAIN = 3.0
"""Seconds that what belongs to a result may come after it: last lines, a pod's status."""
_COMES = 120.0
"""Seconds after which nobody looks any more at a job that is over."""
_LAST_LINES = 2.0
"""Seconds for the last lines of a job that left no result."""


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
    following: Following | None = None
    """Who reads the head's output."""
    pods: Pods = field(init=False)
    """The pods."""
    checks: Checks = field(init=False)
    """What is looked after while the result is waited for."""

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
        self.checks = Checks(self.asked, self.cluster, self.pods, self.folder, self.on_note)
        well = False
        try:
            self._begin()
            result = self._await()
            self._catch_up(int(result.get("events", 0)))
            if "lost" in result:
                result["lost"]["why"] = self.reason(result["lost"])
            well = "outcome" in result or "raised" in result
            return result
        finally:
            self._clear(well=well)

    def _begin(self) -> None:
        if self.stays:
            site = self.asked.site
            return ray_checks.await_cluster(
                self.cluster, site.ray_cluster, seconds=site.limits.pending, on_note=self.on_note
            )
        try:
            self.checks.ray_job = self.cluster.create(ray_kubernetes.ray_job(self.asked))
        except errors.NotThere as error:
            raise ray_checks.no_kuberay(self.cluster) from error

    def _await(self) -> dict[str, Any]:
        while True:
            self.pods.look()
            if found := self.store.read(f"{self.folder}/{RESULT}"):
                return dict(json.loads(found))
            self.checks.all(submitted=self.following is not None)
            if self.following is None:
                self.following = self._submit()
            time.sleep(_PAUSE)

    def _submit(self) -> Following | None:
        """Submit the job as soon as the head takes one, before its workers are there."""
        head = self.pods.head
        if head is None or not head.address or not head.started:
            return None
        try:
            Dashboard(host=head.address).submit(
                self.asked.name,
                self.asked.entrypoint,
                variables=self.variables if self.stays else {},
                about=dict(self.asked.labels[ray_kubernetes.HEAD]),
            )
        except NotAnswering as error:
            self.checks.unanswered(str(error))
            return None  # it is still starting; KubeRay would submit the job too, later
        self.pods.at_stake = True
        self.checks.wait_anew()
        return Following(
            self.cluster,
            head.name,
            str(head.manifest["spec"]["containers"][0]["name"]),
            self.asked.name,
            on_line=self.on_line,
            on_event=self.take,
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
                self.checks.at_work()
            case "lost":
                self.checks.wait_anew()
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
        """Wait for the last lines; what does not come with them is read elsewhere."""
        following = self.following
        if following is not None:
            until(lambda: self.told >= count and following.finished, _DRAIN)
            if not following.mine.text():
                self._read_log(following)
        if self.told < count and (kept := self.store.read(f"{self.folder}/{EVENTS}")):
            for line in kept.decode().splitlines():
                self.take(json.loads(line))

    def _read_log(self, following: Following) -> None:
        """Read the job's log from Ray, where the head's own output does not have it."""
        if self.pods.head is None:
            return
        with suppress(NotAnswering):
            for line in Dashboard(host=self.pods.head.address).log(self.asked.name).splitlines():
                following.take(line)

    def _clear(self, *, well: bool) -> None:
        """Leave nothing behind but evidence."""
        leaving = isinstance(sys.exc_info()[1], SystemExit | KeyboardInterrupt)
        if self.following is not None:
            self.following.stop(0.0 if well or leaving else _LAST_LINES)
        with suppress(HeadraceError):
            logs = {} if well or leaving else ray_evidence.pod_logs(self.cluster, self.pods)
            self._remove(well=well)
            ray_evidence.keep(
                self.store,
                self.folder,
                pods=self.pods,
                ray_job=self.checks.ray_job,
                following=self.following,
                logs=logs,
            )

    def _remove(self, *, well: bool) -> None:
        if not self.stays:
            self.cluster.delete("rayjobs", self.asked.name)
            return
        head = self.pods.head
        if head is None or self.following is None:
            return
        dashboard, job = Dashboard(host=head.address), self.asked.name
        with suppress(NotAnswering):
            # One that has done its work is about to end by itself. Its record stays for a while:
            # Ray, which looks after the job a little longer, would make another one.
            if not well and not _over(dashboard, job):
                dashboard.stop(job)
            for one in forgotten(dashboard.jobs(), time.time()):
                dashboard.forget(one)


def forgotten(jobs: Iterable[Mapping[str, Any]], now: float) -> list[str]:
    """The jobs of steps that have been over for so long that nobody looks at them any more."""
    return [
        str(one["submission_id"])
        for one in jobs
        if labels.RUN in (one.get("metadata") or {})
        and (one.get("end_time") or now * 1000) / 1000 < now - _COMES
    ]


def _over(dashboard: Dashboard, job: str) -> bool:
    state = str((dashboard.job(job) or {}).get("status") or "STOPPED")
    return ray_states.meaning(ray_states.JOB, state, "Ray's job").state.done
