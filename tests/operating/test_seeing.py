"""What a cluster shows of a run, what its site remembers of it, and whose log is whose."""

import json
from pathlib import Path

import pytest

from headrace.cluster.problems import Cause, Problem
from headrace.core.states import State
from headrace.operating import kept_logs, recalling, seeing, tapping
from headrace.operating.queued import Queued
from headrace.operating.seen import PodSeen, RaySeen, Warned

REAL = Path(__file__).parent / "golden" / "why"


def pod(name, role="step", step="train", attempt="1", **more):
    """A pod's manifest, running on a node."""
    labels = {"headrace.dev/role": role, "headrace.dev/step": step, **more.pop("labels", {})}
    labels |= {"headrace.dev/attempt": attempt} if attempt else {}
    return {
        "metadata": {
            "name": name, "uid": name, "labels": labels,
            "annotations": {"headrace.dev/step-path": step}, **more.pop("metadata", {}),
        },
        "spec": {
            "nodeName": "node1",
            "containers": [
                {
                    "name": "step",
                    "resources": {
                        "requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "1Gi"},
                    },
                }
            ],
            **more.pop("spec", {}),
        },
        "status": {
            "phase": "Running", "startTime": "2026-11-24T08:00:00Z",
            "containerStatuses": [{"name": "step", "restartCount": 0, "state": {"running": {}}}],
            **more.pop("status", {}),
        },
    }  # fmt: skip


def seen(name, **more):
    """What is seen of the pod that `pod` makes."""
    found = {
        "role": "step", "number": "", "step": "train", "attempt": 1, "phase": "Running",
        "node": "node1", "restarts": 0, "started": 1795507200.0, "cpu": "100m", "memory": "1Gi",
        "cause": "", "reason": "", "remedy": "",
    }  # fmt: skip
    return PodSeen(name=name, **{**found, **more})


def event(about, reason, text, at="2026-11-24T08:00:05Z", kind="Warning", count=1):
    return {
        "metadata": {"name": f"{about}.{reason}"}, "type": kind, "reason": reason, "message": text,
        "lastTimestamp": at, "count": count,
        "involvedObject": {"kind": "Pod", "name": about},
    }  # fmt: skip


def test_pods_are_told_apart_by_role_and_number_and_come_step_by_step():
    found = seeing.see(
        [
            pod("e-10", "spark-executor", attempt="", labels={"spark-exec-id": "10"}),
            pod("e-2", "spark-executor", attempt="", labels={"spark-exec-id": "2"}),
            pod("driver"),
            pod("w-x7k2p", "ray-worker", attempt="", step="fit"),
            pod("h", "ray-head", attempt="", step="fit"),
        ],
        [],
        [],
    )
    executor = {"role": "spark-executor", "attempt": 0}
    assert found.pods == (
        seen("h", role="ray-head", attempt=0, step="fit"),
        seen("w-x7k2p", role="ray-worker", number="x7k2p", attempt=0, step="fit"),
        seen("driver"),
        seen("e-2", number="2", **executor),
        seen("e-10", number="10", **executor),
    )
    assert found.active


def test_what_is_wrong_with_a_pod_is_told_with_a_remedy():
    raw = json.loads((REAL / "unschedulable.json").read_text())["steps"][0]
    found = seeing.see(raw["pods"], [], raw["events"])
    (one,) = found.pods
    assert (one.phase, one.node, one.cpu, one.cause, one.reason, one.remedy) == (
        "Pending", "", "64", "unschedulable",
        "finds no node with 64 cpu free (0/1 nodes are available: 1 Insufficient cpu)",
        "ask for less, wait until other work has ended, or add nodes with more room",
    )  # fmt: skip
    assert [(one.about, one.reason) for one in found.warnings] == [
        (f"pod/{one.name}", "FailedScheduling")
    ]


def test_a_pod_that_is_about_to_go_and_one_that_was_started_again():
    leaving = pod("a", metadata={"deletionTimestamp": "2026-11-24T08:01:00Z"})
    again = pod("b", status={"containerStatuses": [
        {"name": "step", "restartCount": 3, "state": {"running": {}}}
    ]})  # fmt: skip
    found = seeing.see([leaving, again], [], [])
    assert [(one.phase, one.restarts) for one in found.pods] == [("Terminating", 0), ("Running", 3)]


def test_pods_of_kubeflow_pipelines_tell_their_step_by_their_node():
    kfp = pod("p")
    kfp["metadata"]["labels"] = {"pipeline/runid": "1"}
    kfp["metadata"]["annotations"] = {
        "workflows.argoproj.io/node-name": "w.root.for-loop-1.iteration-iterations(0:x)"
        ".iteration-item.train.executor"
    }
    assert (seeing.step_of(kfp), seeing.role_of(kfp)) == ("for-loop-1/0/train", "step")
    kfp["metadata"]["annotations"] = {
        "workflows.argoproj.io/node-name": "w.root.train-driver",
        "pipelines.kubeflow.org/runtime-role": "driver",
    }
    assert (seeing.step_of(kfp), seeing.role_of(kfp)) == ("", "kfp-driver")


def test_the_same_warning_is_told_once_the_latest_last():
    found = seeing.see(
        [pod("a")],
        [],
        [
            event("a", "BackOff", "again", at="2026-11-24T08:00:09Z", count=7),
            event("a", "BackOff", "again", at="2026-11-24T08:00:05Z", count=3),
            event("a", "Pulled", "fine", kind="Normal"),
            event("a", "Unhealthy", "probe failed\n", at="2026-11-24T08:00:01Z"),
        ],
    )
    assert found.warnings == (
        Warned(time=1795507201.0, about="pod/a", reason="Unhealthy", text="probe failed", count=1),
        Warned(time=1795507209.0, about="pod/a", reason="BackOff", text="again", count=7),
    )


def test_a_ray_job_is_shown_with_its_cluster():
    marks = {"labels": {}, "annotations": {"headrace.dev/step-path": "train"}}
    job = {
        "kind": "RayJob", "metadata": {"name": "j", **marks},
        "status": {
            "rayClusterName": "j-c", "jobStatus": "RUNNING", "jobDeploymentStatus": "Running",
        },
    }  # fmt: skip
    cluster = {
        "kind": "RayCluster", "metadata": {"name": "j-c", **marks},
        "status": {"state": "ready", "readyWorkerReplicas": 1, "desiredWorkerReplicas": 2},
    }  # fmt: skip
    alone = {"kind": "RayCluster", "metadata": {"name": "x", **marks}}
    assert seeing.see([], [job, cluster, alone], []).ray == (
        RaySeen(name="j", step="train", state="running", ready=1, wanted=2, reason=""),
        RaySeen(name="x", step="train", state="new", ready=0, wanted=0, reason=""),
    )


WAITS = Problem(cause=Cause.QUEUED, text="waits for the queue team: it is full", remedy="wait")


def test_what_stands_in_a_queue_is_seen_and_at_work():
    job = {
        "metadata": {
            "name": "count-1", "uid": "j", "annotations": {"headrace.dev/step-path": "count"},
        }
    }  # fmt: skip
    found = seeing.see([pod("driver"), pod("e")], [], [], [job], {"j": WAITS, "e": WAITS})
    assert [(one.name, one.reason) for one in found.pods] == [
        ("driver", ""), ("e", "waits for the queue team: it is full"),
    ]  # fmt: skip
    waits = {"cause": "queued", "reason": WAITS.text, "remedy": "wait"}
    assert found.queued == (
        Queued(kind="Job", name="count-1", step="count", **waits),
        Queued(kind="Pod", name="e", step="train", **waits),
    )
    assert seeing.see([], [], [], [job], {"j": WAITS}).active


def test_a_step_that_stands_in_a_queue_has_not_ended():
    attempt = {"step": "count", "attempt": 1, "began": 5.0, "job": {}, "result": None}
    events = recalling.journal(RUN, [attempt], [], SITE, {"count"})
    assert [one["type"] for one in events] == ["run_started", "step_started"]


def test_whose_log_a_pods_is():
    names = {
        "step": ("driver", "driver"),
        "ray-head": ("ray", "ray head"),
        "ray-worker": ("ray", "ray worker ab3de"),
    }
    for role, (kind, name) in names.items():
        found = tapping.source_of(pod("j-ab3de", role))
        assert (found.step, found.kind, found.name) == ("train", kind, name)
    executor = pod("e", "spark-executor", labels={"spark-exec-id": "3"})
    assert tapping.source_of(executor).name == "executor 3"


def test_of_several_containers_the_users_own_has_the_log():
    own = pod("a", spec={"initContainers": [{"name": "fetch"}, {"name": "container"}]})
    own["spec"]["containers"] = [{"name": "step"}]
    assert tapping.container_of(own) == "container"
    kfp = pod("a", spec={"containers": [{"name": "wait"}, {"name": "main"}]})
    assert tapping.container_of(kfp) == "main"
    waiting = pod("a", status={"containerStatuses": [{"name": "step", "state": {"waiting": {}}}]})
    assert [tapping.has_begun(one) for one in (pod("a"), waiting)] == [True, False]


def test_reports_and_a_trainings_own_lines_are_no_lines_of_the_head():
    head = pod("h", "ray-head", labels={"headrace.dev/training": "ray-1"})
    lines = ["plain", "ray-1| epoch 1", '::headrace:: {"type": "step_note"}']
    assert [one for one in lines if tapping.is_own(head, one)] == ["plain"]


def test_the_logs_in_the_store_come_attempt_by_attempt_the_steps_own_first():
    paths = [
        "2/log.txt", "2/job.json", "1/result.json", "1/log.txt",
        "1/executors/app-exec-10.log", "1/executors/app-exec-2.log",
        "2/ray/driver.log", "2/ray/head.log", "2/ray/j-c-head-abc12.log", "2/ray/pods.json",
        "2/ray/j-c-workers-worker-x7k2p.before.log",
        "0/train/1/log.txt",
    ]  # fmt: skip
    found = kept_logs.logs_among(paths, "for-loop", "s3://b/runs/r/steps/for-loop")
    assert [
        (one.attempt, one.source.name, one.uri.rpartition("for-loop/")[2]) for one in found
    ] == [
        (1, "driver", "1/log.txt"),
        (1, "executor 2", "1/executors/app-exec-2.log"),
        (1, "executor 10", "1/executors/app-exec-10.log"),
        (2, "driver", "2/log.txt"),
        (2, "ray head", "2/ray/j-c-head-abc12.log"),
        (2, "ray worker x7k2p before its restart", "2/ray/j-c-workers-worker-x7k2p.before.log"),
    ]


def test_where_the_steps_own_log_is_lost_the_trainings_stands_in():
    found = kept_logs.logs_among(["1/ray/driver.log", "1/ray/head.log"], "train", "s3://b")
    assert [one.source.name for one in found] == ["ray head", "ray job"]


def attempt(step, number=1, began=100.0, result=None, engine="python"):
    job = {"engine": engine, "executor_input": {"inputs": {"parameterValues": {"n": 1}}}}
    return {"step": step, "attempt": number, "began": began, "job": job, "result": result}


def ended(state, at, **more):
    return {"state": state, "ended": at, "parameters": {}, "artifacts": {}, **more}


RUN = "flights-20261124-081500-7c1e"
SITE = {"context": "kind", "namespace": "ml"}


def told(events):
    return [
        (one["type"], one.get("step", ""), str(one.get("state", "")), one["time"]) for one in events
    ]


def test_a_run_is_put_together_from_results_and_pods():
    attempts = [
        attempt("load", result=ended("succeeded", 104.0)),
        attempt("for-loop-1/0/train", began=105.0, engine="ray"),
    ]
    pods = [seen("p", step="for-loop-1/0/train"), seen("q", step="late", started=110.0)]
    events = recalling.journal(RUN, attempts, pods, SITE)
    assert told(events) == [
        ("run_started", "", "", 100.0),
        ("step_started", "load", "", 100.0),
        ("step_finished", "load", "succeeded", 104.0),
        ("step_started", "for-loop-1/0/train", "", 105.0),
        ("step_started", "late", "", 110.0),
    ]
    assert (events[0]["pipeline"], events[0]["site"]) == ("flights", SITE)
    assert (events[3]["name"], events[3]["engine"]) == ("train[0]", "ray")


def test_a_failed_step_ends_its_run_and_one_that_is_gone_does_not():
    broken = {"what": "KeyError: 'b'"}
    attempts = [
        attempt("load", result=ended("failed", 104.0, error=broken)),
        attempt("late", began=101.0),
    ]
    events = recalling.journal(RUN, attempts, [], SITE)
    assert told(events)[-1] == ("run_finished", "", "failed", 104.0)
    assert events[-1]["error"] == broken
    gone = next(one for one in events if one["type"] == "step_finished" and one["step"] == "late")
    assert (gone["state"], gone["reason"]) == (State.CANCELLED, recalling.LOST)
    assert told(recalling.journal(RUN, attempts[1:], [], SITE))[-1][0] == "step_finished"


def test_a_retry_that_went_well_mends_the_run():
    attempts = [
        attempt("load", 1, result=ended("failed", 104.0, error={"what": "x"})),
        attempt("load", 2, began=105.0, result=ended("succeeded", 109.0)),
    ]
    assert told(recalling.journal(RUN, attempts, [], SITE))[-1] == (
        "step_finished", "load", "succeeded", 109.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "pipeline", "ours"),
    [
        (RUN, "flights", True),
        ("a-b-20261124-081500-7c1e", "a-b", True),
        ("flights", "flights", False),
    ],
)
def test_a_runs_id_tells_its_pipeline(name, pipeline, ours):
    assert (recalling.pipeline_of(name), recalling.is_run(name)) == (pipeline, ours)


def test_runs_are_in_the_order_in_which_they_began_whatever_their_pipelines():
    runs = ["b-20261124-081500-7c1e", "a-20261124-091500-7c1e", "c-20261123-081500-7c1e"]
    assert sorted(runs, key=recalling.moment) == [runs[2], runs[0], runs[1]]
    assert recalling.stamp(1795507200.5) == "20261124-080000"
