"""What keeps a server's pods from becoming ready, read from what the cluster tells of them."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.serving.rollout import Patience, complete
from headrace.serving.troubles import Kind, Trouble, of_deployment, of_pod


def pod(**status: Any) -> dict[str, Any]:
    limits = {"resources": {"limits": {"memory": "1Gi"}}}
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


@pytest.mark.parametrize(
    ("status", "found"),
    [
        ({"phase": "Pending"}, []),
        (
            {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/1 nodes are available: 1 Insufficient cpu. no new claims to "
                        "deallocate, preemption: 0/1 nodes are available.",
                    }
                ]
            },
            [
                Trouble(
                    kind=Kind.ROOM,
                    what="no node has room for a pod: 0/1 nodes are available: 1 Insufficient cpu",
                    hint="ask for less cpu or memory, or wait until other work has ended",
                    pod="model-flights-1",
                )
            ],
        ),
        (
            {
                "initContainerStatuses": [
                    container("fetch", state=waiting("ImagePullBackOff", "Back-off\npulling it."))
                ]
            },
            [
                Trouble(
                    kind=Kind.IMAGE,
                    what="the image registry/python:1 cannot be pulled: Back-off pulling it",
                    hint="see that the registry has it and that the site's pull_secrets open it",
                    pod="model-flights-1",
                )
            ],
        ),
        (
            {
                "initContainerStatuses": [container("fetch", state=ended(0, "Completed"))],
                "containerStatuses": [
                    container(state=waiting("CreateContainerConfigError", 'secret "x" not found'))
                ],
            },
            [
                Trouble(
                    kind=Kind.IMAGE,
                    what='a container cannot be made: secret "x" not found',
                    pod="model-flights-1",
                )
            ],
        ),
        (
            {
                "containerStatuses": [
                    container(state=waiting("CrashLoopBackOff"), lastState=ended(1), restartCount=1)
                ]
            },
            [
                Trouble(
                    kind=Kind.DEATH,
                    what="the container server ended with exit code 1",
                    pod="model-flights-1",
                    container="server",
                    deaths=1,
                    running=True,
                )
            ],
        ),
        (
            {"containerStatuses": [container(state=ended(137, "OOMKilled"), restartCount=1)]},
            [
                Trouble(
                    kind=Kind.DEATH,
                    what="the container server ran out of memory",
                    hint="ask for more than 1Gi of memory",
                    pod="model-flights-1",
                    container="server",
                    deaths=2,
                )
            ],
        ),
        (
            {
                "containerStatuses": [
                    container(state={"running": {}}, lastState=ended(0), restartCount=2)
                ]
            },
            [
                Trouble(
                    kind=Kind.DEATH,
                    what="the container server was ended, for its probes failed",
                    hint="its log says what takes it so long",
                    pod="model-flights-1",
                    container="server",
                    deaths=2,
                    running=True,
                )
            ],
        ),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."},
            [
                Trouble(
                    kind=Kind.DEATH,
                    what="a pod ended (Evicted): The node was low on memory",
                    pod="model-flights-1",
                    deaths=1,
                )
            ],
        ),
    ],
)
def test_a_pod_says_why(status: dict[str, Any], found: list[Trouble]) -> None:
    assert list(of_pod(pod(**status))) == found


def test_a_quota_keeps_pods_from_being_made() -> None:
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": 'pods "x" is forbidden: exceeded quota: team, requested: cpu=1.',
    }
    assert list(of_deployment({"status": {"conditions": [condition]}})) == [
        Trouble(
            kind=Kind.REFUSED,
            what='the cluster makes no pod: pods "x" is forbidden: exceeded quota: team, '
            "requested: cpu=1",
            hint="have the quota or policy changed, or ask for less cpu and memory",
        )
    ]
    assert list(of_deployment({})) == []


def test_patience_differs_by_trouble() -> None:
    patience = Patience(image=5, room=50, deaths=3, whole=500)

    def of(kind: Kind, deaths: int = 0) -> float:
        return patience.of(Trouble(kind=kind, what="", deaths=deaths))

    assert [of(kind) for kind in (Kind.IMAGE, Kind.REFUSED, Kind.ROOM)] == [5, 5, 50]
    assert [of(Kind.DEATH, deaths) for deaths in (1, 2, 3, 4)] == [500, 500, 0, 0]


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
