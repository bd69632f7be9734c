"""What KubeRay and Ray say of a training, in our words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.core.states import State


@dataclass(frozen=True)
class Meaning:
    """What a foreign state means for the step."""

    state: State
    """Ours."""
    sentence: str
    """What to tell people."""


RAY_JOB: Mapping[str, Meaning] = {
    "": Meaning(State.PENDING, "KubeRay has not looked at the RayJob yet"),
    "Initializing": Meaning(State.PENDING, "the Ray cluster is being set up"),
    "Waiting": Meaning(State.PENDING, "the Ray cluster waits for its job"),
    "Suspending": Meaning(State.PENDING, "the Ray cluster is taken down until it is admitted"),
    "Suspended": Meaning(State.PENDING, "the RayJob waits to be admitted"),
    "Running": Meaning(State.RUNNING, "the Ray cluster is complete"),
    "Retrying": Meaning(State.FAILED, "KubeRay began the job again"),
    "Complete": Meaning(State.SUCCEEDED, "Ray's job has ended"),
    "Failed": Meaning(State.FAILED, "the RayJob failed"),
    "ValidationFailed": Meaning(State.FAILED, "KubeRay refuses the RayJob"),
}
"""By a RayJob's `status.jobDeploymentStatus`."""

JOB: Mapping[str, Meaning] = {
    "": Meaning(State.PENDING, "the job is not submitted yet"),
    "PENDING": Meaning(State.PENDING, "the job waits for its process on the head"),
    "RUNNING": Meaning(State.RUNNING, "the job runs"),
    "STOPPED": Meaning(State.CANCELLED, "the job was stopped"),
    "SUCCEEDED": Meaning(State.SUCCEEDED, "the job has ended well"),
    "FAILED": Meaning(State.FAILED, "the job failed"),
}
"""By the state that Ray itself gives a job."""

CLUSTER: Mapping[str, Meaning] = {
    "": Meaning(State.PENDING, "the Ray cluster is being set up"),
    "ready": Meaning(State.RUNNING, "the Ray cluster is ready"),
    "suspended": Meaning(State.PENDING, "the Ray cluster is suspended"),
    "failed": Meaning(State.FAILED, "the Ray cluster failed"),
}
"""By a RayCluster's `status.state`."""


def meaning(table: Mapping[str, Meaning], state: str, what: str) -> Meaning:
    """What a state means; one that nobody knows counts as failed.

    Args:
        table: One of the above.
        state: The foreign state.
        what: Whose state it is, for the sentence about an unknown one.
    """
    unknown = Meaning(State.FAILED, f"{what} is in a state that Headrace does not know: {state!r}")
    return table.get(state, unknown)


def ray_job_end(status: Mapping[str, Any]) -> str:
    """Why a RayJob has ended badly by KubeRay's account; empty if it has not."""
    state = str(status.get("jobDeploymentStatus") or "")
    known = meaning(RAY_JOB, state, "the RayJob")
    if known.state is not State.FAILED or status.get("reason") == "AppFailed":
        return ""  # a job that failed tells why itself
    if status.get("reason") == "DeadlineExceeded":
        return "it took longer than the site allows (limits.step)"
    said = " ".join(str(status.get(one) or "") for one in ("reason", "message")).strip()
    return f"{known.sentence}: {said}" if said else known.sentence
