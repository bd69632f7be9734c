"""Why a pod ended, or is being ended, other than well. Pure."""

from __future__ import annotations

import signal

from headrace.cluster.problems import Cause, Problem, Thing, condition, containers, moment, short

_LOGS = "`headrace logs` shows what it wrote last"
_AGAIN = "run again: what was finished is reused"
_KILLED = 137
_DISRUPTIONS = {
    "PreemptionByScheduler": (
        Cause.PREEMPTED, "had to make room for a pod of higher priority",
        "run again when there is room, or have its priority raised",
    ),
    "DeletionByTaintManager": (Cause.NODE_LOST, "lost its node, which does not answer", _AGAIN),
    "DeletionByPodGC": (Cause.NODE_LOST, "lost its node, which is gone", _AGAIN),
    "EvictionByEvictionAPI": (
        Cause.EVICTED, "had to leave its node, as when one is drained", _AGAIN,
    ),
    "TerminationByKubelet": (Cause.NODE_LOST, "was ended by its node, which shuts down", _AGAIN),
}  # fmt: skip
"""Kubernetes' reasons for taking a pod away."""
_SHUTDOWNS = ("NodeShutdown", "Shutdown", "Terminated", "NodeLost")
_TURNED_AWAY = ("OutOf", "NodeAffinity", "UnexpectedAdmissionError", "NodePorts")


def why_ended(pod: Thing) -> Problem | None:
    """What ended a pod, if it did not end well. A container's restart counts, too."""
    status = pod.get("status", {})
    return (
        _by_node(pod, str(status.get("reason") or ""), str(status.get("message") or ""))
        or _out_of_memory(pod)
        or _taken_away(pod)
        or _deleted(pod)
        or _crashed(pod)
    )


def _by_node(pod: Thing, reason: str, message: str) -> Problem | None:
    since = _last_moment(pod)
    if reason == "Evicted":
        text, remedy = _evicted(message)
        return Problem(cause=Cause.EVICTED, text=text, remedy=remedy, since=since)
    if reason == "DeadlineExceeded":
        return deadline(pod["spec"].get("activeDeadlineSeconds"), since)
    if reason in _SHUTDOWNS:
        return Problem(
            cause=Cause.NODE_LOST, text=f"lost its node: {short(message)}", remedy=_AGAIN,
            since=since,
        )  # fmt: skip
    if reason.startswith(_TURNED_AWAY):
        return Problem(
            cause=Cause.UNSCHEDULABLE, text=f"was turned away by its node: {short(message)}",
            remedy=_AGAIN, since=since,
        )  # fmt: skip
    return None


def deadline(seconds: int | None, since: float | None) -> Problem:
    """A pod or Job that took too long."""
    long = f"its {seconds} s" if seconds else "its deadline"
    return Problem(
        cause=Cause.DEADLINE,
        text=f"was not done after {long}",
        remedy="raise `limits.step` of the site, or make the step smaller",
        since=since,
    )


def _evicted(message: str) -> tuple[str, str]:
    told = short(message)
    if "low on resource: memory" in message:
        return (
            "was evicted: its node ran low on memory",
            "ask for as much memory as it needs, so that its node keeps that free",
        )
    if "low on resource: ephemeral-storage" in message:
        return "was evicted: its node's disk ran full", "write less to local disk, or add disk"
    if "ephemeral" in message or "EmptyDir" in message:
        return f"was evicted for what it wrote to local disk: {told}", "write less, or allow more"
    return f"was evicted: {told}", _AGAIN


def _out_of_memory(pod: Thing) -> Problem | None:
    for status, spec in containers(pod):
        ended = _ended(status)
        if ended.get("reason") != "OOMKilled":
            continue
        limit = spec.get("resources", {}).get("limits", {}).get("memory", "")
        had = f"the {limit} that it may use" if limit else "the memory that its node had"
        return Problem(
            cause=Cause.MEMORY,
            text=f"ran out of memory: its container {status['name']!r} needed more than {had}",
            remedy=f"ask for more memory than {limit}" if limit else "ask for memory",
            since=moment(ended.get("finishedAt")),
        )
    return None


def _taken_away(pod: Thing) -> Problem | None:
    target = condition(pod, "DisruptionTarget")
    if target.get("status") != "True":
        return None
    known = _DISRUPTIONS.get(str(target.get("reason")))
    told = f"is being taken away: {short(str(target.get('message', '')))}"
    cause, text, remedy = known or (Cause.EVICTED, told, _AGAIN)
    since = moment(target.get("lastTransitionTime"))
    return Problem(cause=cause, text=text, remedy=remedy, since=since)


def _deleted(pod: Thing) -> Problem | None:
    """A container that ended badly after its pod was told to go, and so because of that."""
    meta = pod["metadata"]
    gone = moment(meta.get("deletionTimestamp"))
    if gone is None:
        return None
    # Kubernetes writes down when a pod's time is up, not when it was told so.
    told = gone - float(meta.get("deletionGracePeriodSeconds") or 0)
    for status, _ in containers(pod):
        ended = _ended(status)
        finished = moment(ended.get("finishedAt"))
        if ended.get("exitCode", 0) != 0 and finished is not None and finished >= told:
            return Problem(
                cause=Cause.DELETED, text="was deleted while it ran", remedy=_AGAIN, since=told
            )
    return None


def _crashed(pod: Thing) -> Problem | None:
    for status, _ in containers(pod):
        ended = _ended(status)
        if ended.get("exitCode", 0) == 0:
            continue
        text, remedy, cause = _crash(status, ended)
        return Problem(cause=cause, text=text, remedy=remedy, since=moment(ended.get("finishedAt")))
    return None


def _crash(status: Thing, ended: Thing) -> tuple[str, str, Cause]:
    name, code = f"its container {status['name']!r}", int(ended["exitCode"])
    if ended.get("reason") == "ContainerStatusUnknown":
        return f"lost {name}: its node no longer knew of it", _AGAIN, Cause.NODE_LOST
    if ended.get("reason") in ("StartError", "ContainerCannotRun"):
        told = short(str(ended.get("message", "")).rpartition("container process: ")[2])
        told = told.removesuffix(": unknown")
        return f"could not start {name}: {told}", "correct its command or image", Cause.CONFIG
    times = int(status.get("restartCount", 0))
    again = f", and was started again {times} times" if times > 1 else ""
    if code == _KILLED:
        remedy = f"its node may have needed the memory: ask for more; {_LOGS}"
        return f"{name} was killed (exit code {code}){again}", remedy, Cause.CRASH
    return f"{name} ended with {_code(code)}{again}", _LOGS, Cause.CRASH


def _code(code: int) -> str:
    """An exit code, and the signal in it.

    >>> _code(3), _code(139)
    ('exit code 3', 'exit code 139 (SIGSEGV)')
    """
    try:
        return f"exit code {code} ({signal.Signals(code - 128).name})"
    except ValueError:
        return f"exit code {code}"


def _ended(status: Thing) -> Thing:
    """How a container ended: now, or before it was started again."""
    state, before = status.get("state", {}), status.get("lastState", {})
    found: Thing = state.get("terminated") or {}
    # Once it runs again, what ended it is past.
    return found or ({} if "running" in state else before.get("terminated") or {})


def _last_moment(pod: Thing) -> float | None:
    moments = [moment(_ended(status).get("finishedAt")) for status, _ in containers(pod)]
    not_ready = moment(condition(pod, "Ready").get("lastTransitionTime"))
    return max((one for one in moments if one), default=not_ready)
