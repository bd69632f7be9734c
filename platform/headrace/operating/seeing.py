"""What a cluster shows of a run while its objects are there: pods, Ray clusters, warnings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from headrace.cluster import diagnosis, errors, labels, problems, queues
from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.problems import Problem
from headrace.core import nodes
from headrace.operating import queued
from headrace.operating.seen import OVER, PodSeen, RaySeen, Seen, Warned

KFP_RUN = "pipeline/runid"
"""The label by which Kubeflow Pipelines marks the pods of a run."""
KFP_NODE = "workflows.argoproj.io/node-name"
KFP_DRIVER = "kfp-driver"
"""The role of the pods by which Kubeflow Pipelines prepares a step or a group of steps."""
_KFP_ROLE = "pipelines.kubeflow.org/runtime-role"
SPARK_NUMBER = "spark-exec-id"
SERVER = "server"
"""The role of what serves a model."""
_ROLES = {"step": 0, "ray-head": 1, "ray-worker": 2, "spark-executor": 3}
_RAY_KIND = "ray.io/node-type"
_RAY_OWNER = "ray.io/cluster"


def look(cluster: Cluster, run: str, *, kfp_run: str = "") -> Seen:
    """What is there of a run now.

    Args:
        cluster: Where.
        run: The run's id.
        kfp_run: Kubeflow Pipelines' id of it, if it drives the run.

    Raises:
        ClusterProblem: The cluster does not answer, or its pods may not be read.
    """
    pods = pods_of(cluster, run, kfp_run)
    ray = [
        one
        for kind in ("rayclusters", "rayjobs")
        for marks in selectors(run, kfp_run)
        for one in _list(cluster, kind, marks)
    ]
    jobs = [one for marks in owned(run, kfp_run) for one in _list(cluster, "jobs", marks)]
    about = {one["metadata"]["name"] for one in [*pods, *ray, *jobs]}
    events = [one for one in _list(cluster, "events", "") if _subject(one)["name"] in about]
    marked = any(labels.QUEUE in _marks(one) for one in [*pods, *ray, *jobs])
    return see(pods, ray, events, jobs, queues.waiting(cluster) if marked else {})


def pods_of(cluster: Cluster, run: str, kfp_run: str = "") -> list[Manifest]:
    """The run's pods, whoever made them."""
    found = [one for marks in selectors(run, kfp_run) for one in cluster.list("pods", marks)]
    return list({one["metadata"]["uid"]: one for one in found}.values())


def selectors(run: str, kfp_run: str = "") -> list[str]:
    """Label selectors that together choose everything of a run, and what it serves not."""
    ours = owned(run, kfp_run)
    return [*ours, labels.selector({KFP_RUN: kfp_run})] if kfp_run else ours


def owned(run: str, kfp_run: str = "") -> list[str]:
    """The same without the pods that Kubeflow Pipelines has made.

    What a step makes there carries the id that the step knows, which is Kubeflow's own. A model
    that is served is meant to outlive its run.
    """
    return [
        f"{labels.selector({**labels.MANAGED, labels.RUN: labels.value(one)})},"
        f"{labels.ROLE}!={SERVER}"
        for one in dict.fromkeys(filter(None, (run, kfp_run)))
    ]


def see(
    pods: Sequence[Manifest],
    ray: Sequence[Manifest],
    events: Sequence[Manifest],
    jobs: Sequence[Manifest] = (),
    waiting: Mapping[str, Problem] | None = None,
) -> Seen:
    """What manifests, events and queues say. Pure.

    Args:
        pods: The run's pods.
        ray: Its RayClusters and RayJobs.
        events: Those about any of it.
        jobs: Its Jobs.
        waiting: What waits for its queue, by unique id.
    """
    waiting = waiting or {}
    by_name: dict[str, list[Manifest]] = {}
    for one in events:
        by_name.setdefault(_subject(one)["name"], []).append(one)
    seen = [
        pod_seen(
            one,
            by_name.get(one["metadata"]["name"], ()),
            waiting.get(str(one["metadata"].get("uid"))),
        )
        for one in pods
    ]
    return Seen(
        pods=tuple(sorted(seen, key=_place)),
        ray=tuple(_ray(ray)),
        queued=tuple(
            queued.of(
                [
                    *(("Job", step_of(one), one) for one in jobs),
                    *((one["kind"], step_of(one), one) for one in ray),
                    *((queued.POD, step_of(one), one) for one in pods),
                ],
                waiting,
            )
        ),
        warnings=tuple(sorted(_warnings(events), key=lambda one: one.time)),
        manifests=tuple(pods),
        events=tuple(events),
    )


def pod_seen(
    pod: Manifest, events: Iterable[Manifest] = (), waits: Problem | None = None
) -> PodSeen:
    """One pod, with what is wrong with it, or why its queue has not admitted it. Pure."""
    meta, spec, status = pod["metadata"], pod.get("spec", {}), pod.get("status", {})
    problem = waits or diagnosis.of_pod(pod, list(events))
    leaving = "deletionTimestamp" in meta and status.get("phase") not in OVER
    statuses = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return PodSeen(
        name=meta["name"],
        role=role_of(pod),
        number=number_of(pod),
        step=step_of(pod),
        attempt=int(_marks(pod).get(labels.ATTEMPT) or 0),
        phase="Terminating" if leaving else str(status.get("phase", "")),
        node=str(spec.get("nodeName") or ""),
        restarts=sum(int(one.get("restartCount", 0)) for one in statuses),
        started=problems.moment(status.get("startTime")),
        cpu=_asked(spec, "cpu"),
        memory=_asked(spec, "memory"),
        cause=str(problem.cause) if problem else "",
        reason=problem.text if problem else "",
        remedy=problem.remedy if problem else "",
    )


def role_of(pod: Manifest) -> str:
    """What a pod is to its step."""
    marks = _marks(pod)
    if role := marks.get(labels.ROLE):
        return role
    if kind := marks.get(_RAY_KIND):
        return f"ray-{kind}"
    if (pod["metadata"].get("annotations") or {}).get(_KFP_ROLE) == "driver":
        return KFP_DRIVER
    return "spark-executor" if SPARK_NUMBER in marks else "step"


def number_of(pod: Manifest) -> str:
    """Which of several alike a pod is."""
    marks = _marks(pod)
    if SPARK_NUMBER in marks:
        return marks[SPARK_NUMBER]
    name = str(pod["metadata"]["name"])
    return name.rpartition("-")[2] if role_of(pod) == "ray-worker" else ""


def step_of(pod: Manifest) -> str:
    """The path of a pod's step, as far as the pod says it."""
    notes = pod["metadata"].get("annotations") or {}
    told = str(notes.get(labels.STEP_PATH) or notes.get(KFP_NODE) or "")
    if nodes.is_name(told):
        return nodes.of_pod(told).path
    return told or _marks(pod).get(labels.STEP, "")


def belongs(pod_step: str, step: str) -> bool:
    """Whether what a pod says of its step means this one."""
    return pod_step in (step, labels.value(step))


def _list(cluster: Cluster, kind: str, marks: str) -> list[Manifest]:
    """Objects of a kind that the cluster need not know, nor let everybody see."""
    with suppress(errors.NotThere, errors.Forbidden):
        return cluster.list(kind, marks)
    return []


def _subject(event: Manifest) -> Mapping[str, Any]:
    found: Mapping[str, Any] = event.get("involvedObject") or {}
    return {"name": "", "kind": "", **found}


def _marks(thing: Manifest) -> dict[str, str]:
    return thing["metadata"].get("labels") or {}


def _place(pod: PodSeen) -> tuple[str, int, int, int, str]:
    number = int(pod.number) if pod.number.isdigit() else 0
    return (pod.step, _ROLES.get(pod.role, 9), pod.attempt, number, pod.name)


def _asked(spec: Mapping[str, Any], what: str) -> str:
    """What the pod's first container asks for: the others are much smaller, or come before."""
    for one in spec.get("containers", [])[:1]:
        resources = one.get("resources") or {}
        asked = (resources.get("requests") or {}).get(what)
        return str(asked or (resources.get("limits") or {}).get(what) or "")
    return ""


def _ray(found: Iterable[Manifest]) -> Iterable[RaySeen]:
    """Clusters, and the jobs that have none."""
    clusters = {one["metadata"]["name"]: one for one in found if one["kind"] == "RayCluster"}
    jobs = [one for one in found if one["kind"] == "RayJob"]
    told: set[str] = set()
    for job in jobs:
        status = job.get("status") or {}
        name = str(status.get("rayClusterName", ""))
        told.add(name)
        state = str(status.get("jobStatus") or status.get("jobDeploymentStatus") or "new")
        reason = ": ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
        yield _ray_seen(job, clusters.get(name), state, reason)
    for name, cluster in clusters.items():
        if name not in told:
            status = cluster.get("status") or {}
            yield _ray_seen(
                cluster, cluster, str(status.get("state") or "new"), str(status.get("reason", ""))
            )


def _ray_seen(thing: Manifest, cluster: Manifest | None, state: str, reason: str) -> RaySeen:
    status = (cluster or {}).get("status") or {}
    return RaySeen(
        name=thing["metadata"]["name"],
        step=step_of(thing),
        state=state.lower(),
        ready=int(status.get("readyWorkerReplicas", 0)),
        wanted=int(status.get("desiredWorkerReplicas", 0)),
        reason=reason,
    )


def _warnings(events: Iterable[Manifest]) -> Iterable[Warned]:
    latest: dict[tuple[str, str, str], Warned] = {}
    for one in events:
        if one.get("type") != "Warning":
            continue
        about = _subject(one)
        series = one.get("series") or {}
        warned = Warned(
            time=problems.when(one),
            about=f"{about['kind'].lower()}/{about['name']}",
            reason=str(one.get("reason", "")),
            text=str(one.get("message", "")).strip(),
            count=int(series.get("count") or one.get("count") or 1),
        )
        key = (warned.about, warned.reason, warned.text)
        if key not in latest or latest[key].time < warned.time:
            latest[key] = warned
    return latest.values()
