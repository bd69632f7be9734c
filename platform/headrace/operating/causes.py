"""Why a run failed, or waits: evidence in, likely causes out, the likeliest first. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from headrace.cluster.client import Manifest
from headrace.cluster.creations import refusal
from headrace.core.states import State
from headrace.operating import seeing
from headrace.operating.cause_kinds import BY_NAME, UNKNOWN, Kind, kind_of
from headrace.operating.facts import Cause, Explanation, Facts, Proof, StepFacts
from headrace.operating.queued import POD
from headrace.operating.seen import PodSeen

_OWN_EXCEPTION = 8
"""The rank of an exception that the user's code raised on its own account."""
_ENGINES_ERRORS = ("Py4J", "SparkException", "Ray", "ActorDied", "WorkerGroup", "StepFailed")
"""How the names of exceptions begin that only hand on what happened to an engine's pods."""
_EMPTY_WORDS = ("crash", "killed", "unknown")
"""Kinds that say nothing once a better reason is known."""
_STAGE = re.compile(r"Task (\S+) in stage (\S+) failed (\d+) times")
_TRACEBACK = "Traceback (most recent call last)"
_OUR_ERROR = re.compile(r"headrace\.core\.errors\.")
_LOG_LINES = 6
_EVENTS = 4


def explain(facts: Facts) -> Explanation:
    """Why a run failed or waits, from everything that is known of it."""
    causes = tuple(sorted(_causes(facts), key=lambda one: one.rank))
    failed = [one for one in facts.steps if one.state is State.FAILED]
    if facts.state is State.FAILED or failed:
        causes = causes or (_unknown(facts),)
        verdict = "gate" if causes[0].kind == "gate" else "failed"
        return Explanation(verdict=verdict, text=_sentence(causes[0]), causes=causes)
    if facts.killed:
        return Explanation(verdict="killed", text=_killed(facts), causes=causes)
    if facts.state is State.CANCELLED:
        return Explanation(verdict="cancelled", text="It was cancelled.", causes=())
    if facts.state.good:
        return Explanation(verdict="fine", text="It did not fail.", causes=())
    if causes:
        return Explanation(verdict="waiting", text=_sentence(causes[0]), causes=causes)
    return Explanation(verdict="running", text="It is at work, and nothing holds it up.")


def _sentence(cause: Cause) -> str:
    first = cause.text.strip().partition("\n")[0]
    return f"{cause.step}: {first}" if cause.step else first


def _killed(facts: Facts) -> str:
    if not facts.site:
        return "Its process went without a word: it was killed, or the power went."
    goes_on = "its pods go on" if facts.active else "nothing of it is at work any more"
    return f"Its client went without a word; {goes_on}."


def _unknown(facts: Facts) -> Cause:
    error = facts.error or {}
    text = str(error.get("what") or "No reason is known.")
    kind = kind_of(text)
    proofs = tuple(Proof(text="", where=str(one)) for one in error.get("where") or ())
    remedy = str(error.get("hint") or kind.remedy)
    return Cause(kind=kind.name, step="", text=text, remedy=remedy, rank=kind.rank, proofs=proofs)


def _causes(facts: Facts) -> Iterator[Cause]:
    for step in facts.steps:
        yield from _merged(_of_step(step))


def _of_step(step: StepFacts) -> Iterator[Cause]:
    yield from _own_account(step)
    yield from _pods(step)
    yield from _executors(step)
    yield from _ray(step)
    if step.state is State.FAILED:
        yield from _last_words(step)


def _merged(found: Iterable[Cause]) -> list[Cause]:
    """One cause of each kind, with the evidence of all; nothing vague beside what is certain."""
    best: dict[str, Cause] = {}
    for one in found:
        known = best.get(one.kind)
        if known is None:
            best[one.kind] = one
            continue
        proofs = tuple(dict.fromkeys((*known.proofs, *one.proofs)))
        first = known if known.rank <= one.rank else one
        best[one.kind] = replace(first, proofs=proofs, remedy=first.remedy or one.remedy)
    certain = [one for one in best.values() if one.kind not in _EMPTY_WORDS]
    vague = [one for one in best.values() if one.kind in _EMPTY_WORDS]
    if not certain:
        return vague
    proofs = tuple(proof for one in vague for proof in _as_proofs(one))
    first, *rest = sorted(certain, key=lambda one: one.rank)
    return [replace(first, proofs=tuple(dict.fromkeys((*first.proofs, *proofs)))), *rest]


def _as_proofs(vague: Cause) -> Iterator[Proof]:
    """A cause that says little, as evidence for one that says more."""
    if vague.kind in ("crash", "killed") and not any(one.text for one in vague.proofs):
        yield Proof(text=vague.text)
    yield from vague.proofs


def _own_account(step: StepFacts) -> Iterator[Cause]:
    """What the step says of its end, or the client on its behalf."""
    error = step.error
    if not error or step.state is not State.FAILED:
        return
    what, name = str(error.get("what", "")), str(error.get("kind", ""))
    kind = _kind_of_error(error)
    own = kind.name == "exception" and not name.startswith(_ENGINES_ERRORS)
    yield Cause(
        kind=kind.name, step=step.name, text=what,
        remedy=str(error.get("hint") or kind.remedy),
        rank=_OWN_EXCEPTION if own else kind.rank,
        proofs=tuple(_error_proofs(step, error)),
    )  # fmt: skip


def _kind_of_error(error: Mapping[str, Any]) -> Kind:
    what, name = str(error.get("what", "")), str(error.get("kind", ""))
    if int(error.get("exit_code") or 1) == 3:
        return BY_NAME["gate"]
    if error.get("traceback") and not name.startswith(_ENGINES_ERRORS):
        # A user's text may say anything; these two are told by the exception's own class.
        told = kind_of(what)
        return told if told.name in ("memory", "disk") else BY_NAME["exception"]
    return kind_of(what, BY_NAME["exception"] if error.get("traceback") else UNKNOWN)


def _error_proofs(step: StepFacts, error: Mapping[str, Any]) -> Iterator[Proof]:
    if traceback := str(error.get("traceback") or "").rstrip():
        yield Proof(text=traceback, where=step.places.get("log", ""))
    if stage := _STAGE.search("\n".join([str(error.get("what", "")), *step.log])):
        text = f"Spark's task {stage[1]} in stage {stage[2]} failed {stage[3]} times"
        yield Proof(text=text, where=step.places.get("log", ""))
    for place in error.get("where") or ():
        yield Proof(text="", where=str(place))


def _pods(step: StepFacts) -> Iterator[Cause]:
    """What Kubernetes says of the step's pods."""
    queued = {one.name: one for one in step.queued if one.kind == POD}
    for pod in step.pods:
        mine = [one for one in step.events if _about(one) == pod["metadata"]["name"]]
        seen = seeing.pod_seen(pod, mine)
        if waits := queued.get(pod["metadata"]["name"]):
            seen = replace(seen, cause=waits.cause, reason=waits.reason, remedy=waits.remedy)
        if not seen.reason or not _counts(step, seen):
            continue
        kind = BY_NAME.get(seen.cause) or kind_of(seen.reason)
        yield Cause(
            kind=kind.name, step=step.name, text=f"{_who(seen)} {seen.reason}",
            remedy=seen.remedy or kind.remedy, rank=kind.rank,
            proofs=tuple(_pod_proofs(step, pod, mine)),
        )  # fmt: skip
    yield from _refusals(step)
    for one in step.queued:
        if one.kind != POD:
            kind = BY_NAME[one.cause]
            yield Cause(
                kind=kind.name, step=step.name, text=f"its {one.kind} {one.reason}",
                remedy=one.remedy, rank=kind.rank,
                proofs=(Proof(text="", where=f"{one.kind} {one.name}"),),
            )  # fmt: skip


def _counts(step: StepFacts, pod: PodSeen) -> bool:
    """Whether a pod belongs to the attempt that is to be explained."""
    return pod.attempt in (0, step.attempt)


def _who(pod: PodSeen) -> str:
    """The subject of what is said of a pod."""
    match pod.role:
        case "spark-executor":
            return f"executor {pod.number}"
        case "ray-head":
            return "Ray's head"
        case "ray-worker":
            return f"the Ray worker {pod.name}"
    return "its pod"


def _pod_proofs(step: StepFacts, pod: Manifest, events: Sequence[Manifest]) -> Iterator[Proof]:
    where = step.places.get("pods") or f"pod {pod['metadata']['name']}"
    for line in status_lines(pod):
        yield Proof(text=line, where=where)
    warnings = [one for one in events if one.get("type") == "Warning"][-_EVENTS:]
    for one in warnings:
        yield Proof(text=f"{one.get('reason')}: {str(one.get('message', '')).strip()}", where=where)


def status_lines(pod: Manifest) -> Iterator[str]:
    """How a pod's containers stand, those that are not simply running or done."""
    status, name = pod.get("status", {}), pod["metadata"]["name"]
    limits = {
        one["name"]: (one.get("resources") or {}).get("limits", {}).get("memory", "")
        for one in pod.get("spec", {}).get("containers", [])
    }
    if status.get("reason"):
        yield f"pod {name}: {status['reason']} {status.get('message', '')}".rstrip()
    for one in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        for key in ("state", "lastState"):
            ended = (one.get(key) or {}).get("terminated")
            if ended and (ended.get("exitCode") or ended.get("reason") == "OOMKilled"):
                limit = limits.get(one["name"])
                memory = f", memory limit {limit}" if ended.get("reason") == "OOMKilled" else ""
                code = f"exit code {ended.get('exitCode')}"
                yield f"pod {name}, container {one['name']}: {ended.get('reason')}, {code}{memory}"
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("message"):
            yield f"pod {name}, container {one['name']}: {waiting['reason']}: {waiting['message']}"


def _refusals(step: StepFacts) -> Iterator[Cause]:
    """What kept a pod from being made at all: told of its Job or cluster, not of a pod."""
    if step.pods:
        return
    for one in step.events:
        text = str(one.get("message", "")).strip()
        where = step.places.get("pods", "")
        proof = Proof(text=f"{one.get('reason')}: {text}", where=where)
        if one.get("reason") != "FailedCreate":
            continue
        cause, told, remedy = refusal(text)
        kind = BY_NAME[cause]
        yield Cause(
            kind=kind.name, step=step.name, text=f"its pod {told}", remedy=remedy,
            rank=kind.rank, proofs=(proof,),
        )  # fmt: skip


def _executors(step: StepFacts) -> Iterator[Cause]:
    """How Spark's executors were lost, by the step's own account of them."""
    for end in step.executors.get("ends") or ():
        kind = kind_of(str(end), BY_NAME["spark"])
        kind = BY_NAME["spark"] if kind.name in _EMPTY_WORDS else kind
        where = step.places.get("executors", "")
        yield Cause(
            kind=kind.name, step=step.name, text=str(end), remedy=kind.remedy,
            # The pods' own account of the same is nearer to the root.
            rank=kind.rank + 1, proofs=(Proof(text=str(end), where=where),),
        )  # fmt: skip


def _ray(step: StepFacts) -> Iterator[Cause]:
    """Which of Ray's pods died."""
    for pod in step.ray:
        if not (death := str(pod.get("death") or "")):
            continue
        kind = kind_of(death, BY_NAME["ray"])
        kind = BY_NAME["ray"] if kind.name in _EMPTY_WORDS else kind
        who = "Ray's head" if _is_head(pod) else f"the Ray worker {pod.get('name', '')}"
        where = step.places.get("ray", "")
        yield Cause(
            kind=kind.name, step=step.name, text=f"{who} died: {death}", remedy=kind.remedy,
            rank=kind.rank + 1, proofs=(Proof(text=f"{who}: {death}", where=where),),
        )  # fmt: skip
    status = step.ray_job
    if said := str(status.get("message") or ""):
        where = f"{step.places.get('ray', '')}".rstrip()
        yield Cause(
            kind="ray", step=step.name, text=f"The RayJob failed: {said}", remedy="",
            rank=BY_NAME["ray"].rank + 2, proofs=(Proof(text=said, where=where),),
        )  # fmt: skip


def _is_head(pod: Mapping[str, Any]) -> bool:
    return bool((pod.get("labels") or {}).get("ray.io/node-type") == "head")


def _last_words(step: StepFacts) -> Iterator[Cause]:
    """The end of the log, where nothing better is known."""
    if step.error and step.error.get("traceback"):
        return
    lines = [one for one in _users_lines(step.log) if one.strip()][-_LOG_LINES:]
    if lines:
        proof = Proof(text="\n".join(lines), where=step.places.get("log", ""))
        yield Cause(
            kind="unknown", step=step.name, text="It failed; its log ends like this.", remedy="",
            rank=UNKNOWN.rank, proofs=(proof,),
        )  # fmt: skip


def _users_lines(log: Sequence[str]) -> Sequence[str]:
    """A log without the traceback of an error of ours at its end, which was told already."""
    starts = [at for at, line in enumerate(log) if line.startswith(_TRACEBACK)]
    ours = starts and any(_OUR_ERROR.match(line) for line in log[starts[-1] :])
    return log[: starts[-1]] if ours else log


def _about(event: Manifest) -> str:
    return str((event.get("involvedObject") or {}).get("name", ""))
