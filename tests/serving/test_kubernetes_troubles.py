"""What keeps a server's pods from becoming ready, read from what the cluster tells of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from headrace.cluster.problems import Cause, Problem
from headrace.serving.rollout import complete
from headrace.serving.troubles import Patience, Trouble, of_deployment, of_pod


def pod(**status: Any) -> dict[str, Any]:
    limits = {"image": "registry/python:1", "resources": {"limits": {"memory": "1Gi"}}}
    return {
        "metadata": {"name": "model-flights-1"},
        "spec": {
            "initContainers": [{"name": "fetch", **limits}],
            "containers": [{"name": "server", **limits}],
        },
        "status": status,
    }


def container(name: str = "server", **status: Any) -> dict[str, Any]:
    return {"name": name, "image": "registry/python:1", "restartCount": 0, **status}


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def death(text: str, deaths: int, **more: Any) -> dict[str, Any]:
    told = {"text": text, "container": "server", "deaths": deaths, "again": True}
    return {"cause": Cause.CRASH, **told, **more}


FULL = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1."


@pytest.mark.parametrize(
    ("status", "found"),
    [
        ({"phase": "Pending"}, None),
        (
            {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": FULL,
                    }
                ]
            },
            {
                "cause": Cause.UNSCHEDULABLE,
                "text": "finds no node with cpu free (0/1 nodes are available: 1 Insufficient cpu)",
            },
        ),
        (
            {
                "initContainerStatuses": [
                    container("fetch", state=waiting("ErrImagePull", "x: not found"))
                ]
            },
            {
                "cause": Cause.IMAGE,
                "text": "cannot get the image registry/python:1: its registry does not have it",
            },
        ),
        (
            {
                "initContainerStatuses": [container("fetch", state=ended(0, "Completed"))],
                "containerStatuses": [
                    container(state=waiting("CreateContainerConfigError", 'secret "x" not found'))
                ],
            },
            {"cause": Cause.CONFIG, "text": "wants the Secret 'x', which is not there"},
        ),
        ({"initContainerStatuses": [container("fetch", state=ended(0, "Completed"))]}, None),
        (
            {"initContainerStatuses": [container("fetch", state=ended(4))]},
            death(
                "its container 'fetch' ended with exit code 4", 1, container="fetch", again=False
            ),
        ),
        (
            {
                "containerStatuses": [
                    container(state=waiting("CrashLoopBackOff"), lastState=ended(1), restartCount=1)
                ]
            },
            death("its container 'server' ended with exit code 1", 1),
        ),
        (
            {"containerStatuses": [container(state=ended(137, "OOMKilled"), restartCount=1)]},
            death(
                "ran out of memory: its container 'server' needed more than the 1Gi that it may "
                "use",
                2,
                cause=Cause.MEMORY,
                again=False,
            ),
        ),
        (
            {
                "containerStatuses": [
                    container(state=waiting("CrashLoopBackOff"), lastState=ended(0), restartCount=2)
                ]
            },
            death("its container 'server' was ended, for its probes failed", 2),
        ),
        (
            {"containerStatuses": [container(state={"running": {}}, lastState=ended(1))]},
            None,
        ),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "low on resource: memory."},
            {"cause": Cause.EVICTED, "text": "was evicted: its node ran low on memory"},
        ),
    ],
)
def test_a_pod_says_why(status: dict[str, Any], found: dict[str, Any] | None) -> None:
    trouble = of_pod(pod(**status), [])
    if found is None or trouble is None:
        assert trouble is found is None
        return
    told = {"container": "", "deaths": 0, "again": False, **found}
    assert trouble == Trouble(
        problem=dataclasses.replace(
            trouble.problem, cause=told.pop("cause"), text=told.pop("text")
        ),
        pod="model-flights-1",
        **told,
    )


def test_a_quota_keeps_pods_from_being_made() -> None:
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": 'pods "x" is forbidden: exceeded quota: team, requested: cpu=1, used: cpu=2, '
        "limited: cpu=2",
    }
    assert of_deployment({"status": {"conditions": [condition]}}) == Trouble(
        problem=Problem(
            cause=Cause.QUOTA,
            text="a pod finds no room in the quota 'team': it asks for cpu 1, and 2 of 2 is in use",
            remedy="ask for less, wait until other work has ended, or have the quota raised",
        )
    )
    assert of_deployment({}) is None


def test_patience_differs_by_trouble() -> None:
    patience = Patience(making=5, room=50, deaths=3, whole=500)

    def of(cause: Cause, deaths: int = 0) -> float:
        problem = Problem(cause=cause, text="", remedy="")
        return patience.of(Trouble(problem=problem, deaths=deaths))

    assert [of(one) for one in (Cause.IMAGE, Cause.QUOTA, Cause.CONFIG, Cause.NODE)] == [5] * 4
    assert [of(one) for one in (Cause.UNSCHEDULABLE, Cause.QUEUED)] == [50, 50]
    assert [of(Cause.CRASH, deaths) for deaths in (1, 2, 3, 4)] == [500, 500, 0, 0]
    assert [of(one) for one in (Cause.EVICTED, Cause.NODE_LOST)] == [500, 500]


@pytest.mark.parametrize(
    ("generation", "status", "done"),
    [
        (1, {}, False),
        (2, {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1,
             "availableReplicas": 1}, False),
        (1, {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1,
             "availableReplicas": 1}, False),
        (1, {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1}, False),
        (1, {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3,
             "availableReplicas": 2}, True),
    ],
)  # fmt: skip
def test_a_rollout_is_complete_once_enough_new_pods_answer_and_no_old_ones_are_left(
    generation: int, status: dict[str, Any], done: bool
) -> None:
    deployment = {"metadata": {"generation": generation}, "status": status}
    assert complete(deployment, 2 if done else 1) is done
