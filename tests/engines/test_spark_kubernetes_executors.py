"""What an executor's pod says of itself, and how much of a log is kept."""

import pytest

from headrace.engines.spark_executors import (
    End,
    end_of,
    is_over,
    is_running,
    lean,
    memory_limit,
    why_waiting,
)
from headrace.engines.spark_watching import last


def pod(*, state=None, phase="Running", number="3", leaving=False, **status):
    statuses = [{"name": "executor", "restartCount": 0, "state": state}] if state else []
    meta = {"name": f"p-exec-{number}", "labels": {"spark-exec-id": number}, "uid": "u"}
    return {
        "metadata": meta | ({"deletionTimestamp": "2026-11-24T11:40:00Z"} if leaving else {}),
        "spec": {
            "nodeName": "node1",
            "containers": [
                {
                    "name": "executor",
                    "image": "registry.example/spark:1",
                    "env": [{"name": "SECRET", "value": "hidden"}],
                    "resources": {
                        "limits": {"memory": "896Mi"},
                        "requests": {"cpu": "1", "memory": "896Mi"},
                    },
                }
            ],
        },
        "status": {"phase": phase, "containerStatuses": statuses, **status},
    }


RUNNING = {"running": {"startedAt": "2026-11-24T11:38:06Z"}}


def ended(code, reason="Error"):
    return {
        "terminated": {
            "exitCode": code, "reason": reason,
            "startedAt": "2026-11-24T11:38:06Z", "finishedAt": "2026-11-24T11:39:44Z",
        }
    }  # fmt: skip


def end(how, *, memory=False, own_doing=False):
    return End(pod="p-exec-3", number="3", how=how, memory=memory, own_doing=own_doing)


DRAINED = {
    "conditions": [
        {
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastTransitionTime": "2026-11-24T11:39:40Z",
        }
    ]
}  # fmt: skip


@pytest.mark.parametrize(
    "seen, deleted, found",
    [
        (pod(state=RUNNING), False, None),
        (pod(phase="Pending"), False, None),
        (pod(state=ended(0, "Completed"), phase="Succeeded"), False, None),
        (pod(state=ended(0, "Completed"), phase="Succeeded"), True, None),
        (pod(state=ended(52), phase="Failed"), False,
         end("ran out of heap", memory=True, own_doing=True)),
        (pod(state=ended(56), phase="Failed"), False,
         end("could no longer reach the driver", own_doing=True)),
        (pod(state=ended(137, "OOMKilled"), phase="Failed"), False,
         end("ran out of memory: needed more than the 896Mi that it may "
             "use", memory=True, own_doing=True)),
        (pod(state=ended(137), phase="Failed"), False,
         end("was killed (exit code 137)", own_doing=True)),
        (pod(state=ended(1), phase="Failed"), False,
         end("ended with exit code 1", own_doing=True)),
        (pod(state=RUNNING, leaving=True), False, end("was deleted")),
        (pod(state=ended(137), phase="Failed", leaving=True), True, end("was deleted")),
        (pod(state=ended(143), phase="Failed"), False, end("was deleted")),
        (pod(state=RUNNING), True, end("was deleted")),
        (pod(state=RUNNING, leaving=True, **DRAINED), False,
         end("had to leave its node, as when one is drained")),
    ],
)  # fmt: skip
def test_how_it_ended(seen, deleted, found):
    assert end_of(seen, deleted=deleted) == found


def test_an_end_in_a_sentence():
    assert str(end("was deleted")) == "executor 3 was deleted"


def test_whether_it_runs():
    assert [
        (is_running(one), is_over(one))
        for one in (
            pod(phase="Pending"), pod(state=RUNNING), pod(state=RUNNING, leaving=True),
            pod(state=ended(1), phase="Failed"), pod(phase="Failed", reason="Evicted"),
        )
    ] == [(False, False), (True, False), (False, False), (False, True), (False, True)]  # fmt: skip


UNSCHEDULABLE = {
    "conditions": [
        {
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "lastTransitionTime": "2026-11-24T11:38:06Z",
            "message": "0/1 nodes are available: 1 Insufficient memory. no new claims to "
            "deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful.",
        }
    ]
}  # fmt: skip
MAKING = {"waiting": {"reason": "ContainerCreating"}}
NOT_PULLED = {
    "waiting": {
        "reason": "ImagePullBackOff",
        "message": 'Back-off pulling image "registry.example/spark:1": ErrImagePull: rpc error: '
        'code = NotFound desc = failed to pull and unpack image "registry.example/spark:1": '
        'failed to resolve reference "registry.example/spark:1": registry.example/spark:1: '
        "not found",
    }
}


def test_why_it_waits():
    assert why_waiting([pod(state=RUNNING), pod(state=ended(1), phase="Failed")]) == ""
    assert why_waiting([pod(state=MAKING, phase="Pending")]) == "their containers are being made"
    assert why_waiting([pod(state=MAKING, phase="Pending"), pod(phase="Pending", **UNSCHEDULABLE)])
    found = why_waiting([pod(phase="Pending", **UNSCHEDULABLE)])
    assert found.startswith("each ") and "memory" in found and "896Mi" in found
    found = why_waiting([pod(state=NOT_PULLED, phase="Pending")])
    assert found.startswith("each cannot get the image registry.example/spark:1: ")


def test_what_is_kept_of_a_pod_has_no_environment():
    seen = pod(state=RUNNING)
    assert lean(seen) == {
        "metadata": {"name": "p-exec-3", "labels": {"spark-exec-id": "3"}},
        "spec": {
            "nodeName": "node1",
            "containers": [
                {key: seen["spec"]["containers"][0][key] for key in ("name", "image", "resources")}
            ],
        },
        "status": seen["status"],
    }
    assert memory_limit(seen) == "896Mi"


def test_the_end_of_a_long_log_is_kept():
    assert last(iter(["one", "two", "three"]), 100) == ["one", "two", "three"]
    assert last((f"line {number}" for number in range(1000)), 27) == ["line 997", "line 998",
                                                                       "line 999"]  # fmt: skip
