"""A Job that somebody waits for: what it says is handed on, and it goes when it has ended well."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from headrace.cluster import diagnosis, pods, problems
from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.errors import ClusterProblem, Conflict, NotThere, Unreachable
from headrace.cluster.problems import Cause
from headrace.core.errors import EnvironmentProblem

_POLL_SECONDS = 0.5
_HELPLESS_SECONDS = 60.0
_ROOM_SECONDS = 900.0
_NEEDS_HELP = (Cause.IMAGE, Cause.CONFIG, Cause.REFUSED)
_KEPT_SECONDS = 3600
_GONE_SECONDS = 60.0
_LINES = 10
_ERROR = "error: "
_JOB_NAME = "batch.kubernetes.io/job-name"

Tell = Callable[[str], None]


@dataclass
class _Chore:
    """A Job at work, and how much of its log is known."""

    cluster: Cluster
    name: str
    tell: Tell
    lines: list[str]
    told: str = ""
    since: dict[str, float] = field(default_factory=dict)
    failing: bool = False


def from_template(
    template: Manifest,
    name: str,
    *,
    args: Sequence[str],
    variables: Mapping[str, str],
    marked: Mapping[str, str],
    alone: bool,
) -> Manifest:
    """A Job from a PodTemplate.

    Args:
        template: The PodTemplate; its first container is the one that counts.
        name: The Job's name.
        args: That container's arguments, after its own.
        variables: What is added to every container's environment.
        marked: Further labels of Job and pod.
        alone: Leave out the containers that run before it.
    """
    told = pods.variables(variables)
    spec: Manifest = dict(template["template"]["spec"])
    for kind in ("initContainers", "containers"):
        spec[kind] = [{**one, "env": [*one.get("env", []), *told]} for one in spec.get(kind, [])]
    if alone:
        spec["initContainers"] = []
    first = spec["containers"][0]
    first["args"] = [*first.get("args", []), *args]
    marks = {**template["template"]["metadata"].get("labels", {}), **marked}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": marks},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": {"metadata": {"labels": marks}, "spec": spec},
        },
    }


def run(cluster: Cluster, job: Manifest, tell: Tell) -> list[str]:
    """Have a Job done, and return what its container has said, a line each.

    Args:
        cluster: Where.
        job: The Job.
        tell: Told each line as it comes, and what the Job waits for.

    Raises:
        EnvironmentProblem: It has failed. Unless it has said why, the Job stays for whoever looks.
        ClusterProblem: It cannot be made, or the cluster does not answer.
    """
    name = job["metadata"]["name"]
    try:
        cluster.create(job)
    except Conflict as error:
        raise EnvironmentProblem(
            f"The Job {name} is there already.", where=cluster.where,
            hint=f"wait for it, or kubectl -n {cluster.namespace} delete job {name}",
        ) from error  # fmt: skip
    chore = _Chore(cluster=cluster, name=name, tell=tell, lines=[])
    try:
        pod = _until_over(chore)
    except KeyboardInterrupt:
        _take_away(chore)
        raise
    failed = pod["status"].get("phase") != "Succeeded"
    if chore.failing or not failed:  # nothing is left to look at
        cluster.delete("jobs", name)
    if failed:
        raise _failure(chore, pod)
    return chore.lines


def _take_away(chore: _Chore) -> None:
    """Remove a Job, and return when nothing of it is at work any more."""
    with suppress(ClusterProblem):
        chore.cluster.delete("jobs", chore.name)
        until = time.monotonic() + _GONE_SECONDS
        while _pod(chore) is not None and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)


def _until_over(chore: _Chore) -> Manifest:
    """Follow the Job's pod until it has ended, and return it."""
    while True:
        pod = _pod(chore)
        if pod is not None:
            _follow(chore, pod, wait=True)
            pod = _pod(chore) or pod
            if pod["status"].get("phase") in ("Succeeded", "Failed"):
                _follow(chore, pod, wait=False)  # what was lost while it was followed
                return pod
        else:
            _require_there(chore)
        _give_up(chore, pod)
        time.sleep(_POLL_SECONDS)


def _require_there(chore: _Chore) -> None:
    """A Job without a pod: it has not made it yet, or has lost it for good."""
    job = chore.cluster.get("jobs", chore.name)
    failed = job is not None and problems.condition(job, "Failed").get("status") == "True"
    if job is None or failed:
        raise EnvironmentProblem(
            f"The pod of {chore.name} is gone: it was deleted, or its node was.",
            where=chore.cluster.where,
            hint="the same command begins it anew",
        )


def _pod(chore: _Chore) -> Manifest | None:
    found = chore.cluster.list("pods", f"{_JOB_NAME}={chore.name}")
    return found[0] if found else None


def _follow(chore: _Chore, pod: Manifest, *, wait: bool) -> None:
    """Hand on what is new of the log of the container that counts, once it has begun; with `wait`
    until it ends.
    """
    for status in pod["status"].get("initContainerStatuses", []):
        if "running" in status.get("state", {}) and chore.told != status["name"]:
            chore.told = status["name"]
            chore.tell(f"{status['name']} …")
    main = pod["spec"]["containers"][0]["name"]
    states = {
        one["name"]: one.get("state", {}) for one in pod["status"].get("containerStatuses", [])
    }
    if not {"running", "terminated"} & states.get(main, {}).keys():
        return
    known = len(chore.lines)
    with suppress(Unreachable, NotThere):
        lines = chore.cluster.logs(pod["metadata"]["name"], container=main, follow=wait)
        for number, line in enumerate(lines):
            if number >= known:
                _hear(chore, line)


def _hear(chore: _Chore, line: str) -> None:
    """Hand a line on, unless it is for programs or part of the error that will be raised."""
    chore.lines.append(line)
    chore.failing = chore.failing or line.startswith(_ERROR)
    if not (chore.failing or line.startswith(("{", "["))):
        chore.tell(line)


def _give_up(chore: _Chore, pod: Manifest | None) -> None:
    """Tell what the pod waits for, and give it up if that has lasted too long."""
    if pod and pod["status"].get("phase") != "Pending":
        return
    problem = diagnosis.of_job(chore.cluster, chore.name, pod)
    if problem is None or problem.text not in chore.since:
        chore.since = {problem.text: time.monotonic()} if problem else {}
        return
    waited = time.monotonic() - chore.since[problem.text]
    if chore.told != problem.text:
        chore.told = problem.text
        chore.tell(f"{chore.name}: {problem.text}")
    most = _HELPLESS_SECONDS if problem.cause in _NEEDS_HELP else _ROOM_SECONDS
    if waited > most:
        raise EnvironmentProblem(
            f"The pod of {chore.name} did not start: {problem.text}.", where=chore.cluster.where,
            hint=problem.remedy,
        )  # fmt: skip


def _failure(chore: _Chore, pod: Manifest) -> EnvironmentProblem:
    """The error that the container that counts has ended with, or what another said last."""
    container = _failed_container(pod)
    name = pod["metadata"]["name"]
    if chore.failing:
        return _told(chore.lines, where=chore.cluster.where)
    said: list[str] = []
    with suppress(ClusterProblem):
        said = [one for one in chore.cluster.logs(name, container=container) if one.strip()]
    problem = diagnosis.of_pod(pod)
    what = f"{container} of {chore.name} has failed"
    first = f"{what}: {problem.text}." if problem else f"{what}."
    return EnvironmentProblem(
        "\n".join([first, *(f"  | {one}" for one in said[-_LINES:])]),
        where=chore.cluster.where,
        hint=f"kubectl -n {chore.cluster.namespace} logs {name} -c {container}",
    )


def _told(lines: Sequence[str], *, where: str) -> EnvironmentProblem:
    """An error as one of our own programs has printed it."""
    begins = next(number for number, line in enumerate(lines) if line.startswith(_ERROR))
    what, places, hint = [lines[begins].removeprefix(_ERROR)], [where], ""
    for line in lines[begins + 1 :]:
        key, _, rest = line.strip().partition(": ")
        if key == "at":
            places.append(rest)
        elif key == "try":
            hint = rest
        else:
            what.append(line)
    return EnvironmentProblem("\n".join(what), where=places, hint=hint)


def _failed_container(pod: Manifest) -> str:
    for status, _ in problems.containers(pod):
        if status.get("state", {}).get("terminated", {}).get("exitCode"):
            return str(status["name"])
    return str(pod["spec"]["containers"][0]["name"])
