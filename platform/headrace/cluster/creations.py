"""Why a Job has no pod, or was given up. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headrace.cluster.ends import deadline
from headrace.cluster.problems import Cause, Problem, Thing, began, condition, moment, newest, short
from headrace.cluster.queues import unexplained

_QUOTA = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<asked>\S+), used: (?P<used>\S+), "
    r"limited: (?P<limit>\S+)"
)
_UNSAID = re.compile(r"failed quota: (?P<name>[^:]+): must specify (?P<what>.+)")


def why_given_up(job: Thing) -> Problem | None:
    """What ended a Job before its pod did."""
    for kind in ("Failed", "FailureTarget"):
        failed = condition(job, kind)
        if failed.get("status") == "True" and failed.get("reason") == "DeadlineExceeded":
            since = moment(failed.get("lastTransitionTime"))
            return deadline(job["spec"].get("activeDeadlineSeconds"), since)
    return None


def why_no_pod(job: Thing, events: Sequence[Thing]) -> Problem | None:
    """What keeps a Job, or another maker of pods, from making one.

    Args:
        job: The Job.
        events: Those about it.
    """
    suspended = condition(job, "Suspended")
    if suspended.get("status") == "True":
        return unexplained(job, moment(suspended.get("lastTransitionTime")))
    event = newest(events, "FailedCreate")
    if event is None:
        return None
    cause, text, remedy = refusal(str(event["message"]))
    return Problem(cause=cause, text=text, remedy=remedy, since=began(event))


def refusal(message: str) -> tuple[Cause, str, str]:
    """What the API server's refusal of a pod means: cause, text, remedy."""
    if match := _QUOTA.search(message):
        asked, used, limit = (_amounts(match[name]) for name in ("asked", "used", "limit"))
        lines = [f"{k} {v}, and {used[k]} of {limit[k]} is in use" for k, v in asked.items()]
        return (
            Cause.QUOTA,
            f"finds no room in the quota {match['name']!r}: it asks for {'; '.join(lines)}",
            "ask for less, wait until other work has ended, or have the quota raised",
        )
    if match := _UNSAID.search(message):
        return (
            Cause.QUOTA,
            f"does not say what the quota {match['name']!r} counts: {match['what']}",
            "have a LimitRange with defaults made, or the quota changed",
        )
    told = short(message.rpartition("is forbidden: ")[2])
    if match := re.search(r'serviceaccount "([^"]+)" not found', message):
        return (
            Cause.CONFIG,
            f"wants the service account {match[1]!r}, which is not there",
            "make it, or correct `service_account` of the site",
        )
    if "violates PodSecurity" in message:
        return (
            Cause.REFUSED, f"is not secure enough for its namespace: {told}",
            "use Headrace's own settings, or have the namespace's level lowered",
        )  # fmt: skip
    return Cause.REFUSED, f"is refused by its namespace: {told}", "ask for what it allows"


def _amounts(text: str) -> dict[str, str]:
    """`a=1,b=2` as a mapping."""
    return dict(part.split("=", 1) for part in text.split(","))
