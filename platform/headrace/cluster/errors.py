"""Kubernetes' refusals and silences in our words: one place turns answers into errors."""

from __future__ import annotations

import json
import re
from typing import Any

from headrace.core.errors import EnvironmentProblem

_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)"'
    r'(?: in API group "(?P<group>[^"]*)")?'
)

_NOISE = re.compile(
    r"<[^>]*>:? ?|HTTPS?Connection(Pool)?\([^)]*\): |Failed to establish a new connection: "
)
"""What urllib3 says around the reason."""


class ClusterProblem(EnvironmentProblem):
    """The cluster said no."""


class Unreachable(ClusterProblem):
    """The cluster does not answer, or not now; asking again may help."""


class Forbidden(ClusterProblem):
    """An account may not do what was asked of the cluster."""


class QuotaExceeded(ClusterProblem):
    """The namespace's quota has no room for the object."""


class Conflict(ClusterProblem):
    """The object is there already, or has changed since it was read."""


class NotThere(ClusterProblem):
    """There is no such object, or no such kind of object on this cluster."""


def from_answer(status: int, body: str, *, asked: str, where: str) -> ClusterProblem:
    """The error behind an HTTP answer of the API server.

    Args:
        status: The HTTP status, 400 or more.
        body: What the server said: a `Status` object as JSON, or any text.
        asked: What was asked for, such as `create jobs`.
        where: The context and namespace.
    """
    message = _message(body) or f"HTTP {status}"
    match status:
        case 401:
            return ClusterProblem(
                "The cluster does not know who is asking.",
                where=where,
                hint="log in again; `kubectl auth whoami` tells whether that helped",
            )
        case 403 if "exceeded quota" in message:
            return QuotaExceeded(
                f"The namespace's quota has no room: {message.partition('exceeded quota: ')[2]}",
                where=where,
                hint="ask for less, wait until other work has ended, or have the quota raised",
            )
        case 403:
            return _forbidden(message, where)
        case 404:
            return NotThere(f"The cluster has nothing of the kind: {message}", where=where)
        case 409:
            return Conflict(f"Could not {asked}: {message}", where=where)
        case 429 | 500 | 502 | 503 | 504:
            return Unreachable(
                f"The cluster could not {asked} now: {message}", where=where, hint="try again"
            )
    return ClusterProblem(f"The cluster refused to {asked}: {message}", where=where)


def from_silence(error: BaseException, *, where: str) -> Unreachable:
    """The error behind a connection that could not be made or was lost."""
    reason = str(getattr(error, "reason", None) or error)
    short = _NOISE.sub("", reason).strip() or type(error).__name__
    return Unreachable(
        f"The cluster does not answer: {short}",
        where=where,
        hint="is it running, and is the context's address right? `kubectl cluster-info` asks it",
    )


def _forbidden(message: str, where: str) -> Forbidden:
    match = _FORBIDDEN.search(message)
    if match is None:
        return Forbidden(f"The cluster forbids it: {message}", where=where)
    resource = match["resource"] + (f".{match['group']}" if match["group"] else "")
    return Forbidden(
        f"{match['user']} may not {match['verb']} {resource}.",
        where=where,
        hint=f"have a Role with verb {match['verb']!r} on {resource!r} bound to it",
    )


def _message(body: str) -> str:
    try:
        said: Any = json.loads(body)
    except ValueError:
        return body.strip()[:400]
    return str(said.get("message", "")) if isinstance(said, dict) else body.strip()[:400]
