"""What KubeRay's and Ray's states mean here, and what became of a pod."""

import subprocess
from pathlib import Path

import pytest

from headrace.core.states import State
from headrace.engines.ray_remote import forgotten
from headrace.engines.ray_states import CLUSTER, JOB, RAY_JOB, meaning, ray_job_end
from headrace.engines.ray_watching import Watched


@pytest.mark.parametrize(
    ("table", "states"),
    [
        (RAY_JOB, {
            "": State.PENDING, "Initializing": State.PENDING, "Waiting": State.PENDING,
            "Suspending": State.PENDING, "Suspended": State.PENDING, "Running": State.RUNNING,
            "Retrying": State.FAILED, "Complete": State.SUCCEEDED, "Failed": State.FAILED,
            "ValidationFailed": State.FAILED,
        }),
        (JOB, {
            "": State.PENDING, "PENDING": State.PENDING, "RUNNING": State.RUNNING,
            "STOPPED": State.CANCELLED, "SUCCEEDED": State.SUCCEEDED, "FAILED": State.FAILED,
        }),
        (CLUSTER, {
            "": State.PENDING, "ready": State.RUNNING, "suspended": State.PENDING,
            "failed": State.FAILED,
        }),
    ],
)  # fmt: skip
def test_every_state_has_a_meaning(table, states):
    assert {name: one.state for name, one in table.items()} == states
    assert all(one.sentence for one in table.values())


def test_an_unknown_state_counts_as_failed_and_is_named():
    told = meaning(RAY_JOB, "Hibernating", "the RayJob")
    assert told.state is State.FAILED
    assert told.sentence == "the RayJob is in a state that Headrace does not know: 'Hibernating'"


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({}, ""),
        ({"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}, ""),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, ""),
        # A job that failed has left a result, which says more.
        ({"jobDeploymentStatus": "Failed", "reason": "AppFailed", "message": "exit code 1"}, ""),
        (
            {"jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded", "message": "passed"},
            "it took longer than the site allows (limits.step)",
        ),
        (
            {"jobDeploymentStatus": "ValidationFailed", "reason": "ValidationFailed",
             "message": "headGroupSpec should have at least one container"},
            "KubeRay refuses the RayJob: ValidationFailed headGroupSpec should have at least one "
            "container",
        ),
        ({"jobDeploymentStatus": "Failed"}, "the RayJob failed"),
        (
            {"jobDeploymentStatus": "Hibernating"},
            "the RayJob is in a state that Headrace does not know: 'Hibernating'",
        ),
    ],
)  # fmt: skip
def test_how_a_ray_job_ended(status, why):
    assert ray_job_end(status) == why


def pod(*, restarts=0, state=None, last=None, phase="Running", **meta):
    return {
        "metadata": {"name": "worker", "labels": {"ray.io/node-type": "worker"}} | meta,
        "spec": {
            "containers": [{"name": "ray", "resources": {"limits": {"memory": "2Gi"}}}],
        },
        "status": {
            "phase": phase,
            "containerStatuses": [
                {
                    "name": "ray",
                    "restartCount": restarts,
                    "state": state or {"running": {}},
                    "lastState": last or {},
                }
            ],
        },
    }


OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
CLEAN = {"terminated": {"exitCode": 0, "reason": "Completed"}}
OF_MEMORY = "ran out of memory: its container 'ray' needed more than the 2Gi that it may use"


@pytest.mark.parametrize(
    ("manifest", "before", "gone", "death"),
    [
        (pod(), 0, False, ""),
        (pod(), 0, True, "was deleted"),
        (pod(deletionTimestamp="2026-01-01T00:00:00Z"), 0, False, "was deleted"),
        (pod(restarts=1, last=OOM), 0, False, OF_MEMORY),
        (pod(state=OOM, phase="Failed"), 0, False, OF_MEMORY),
        (pod(restarts=1, last=CLEAN), 0, False, "ended and was started again"),
        # What happened before the training is not its affair.
        (pod(restarts=1, last=OOM), 1, False, ""),
        (pod(restarts=2, last=OOM), 1, False, OF_MEMORY),
    ],
)
def test_what_became_of_a_pod(manifest, before, gone, death):
    watched = Watched(manifest, restarts=before, gone=gone)
    watched.judge()
    assert watched.death == death


def test_the_script_for_workers_is_bash():
    script = Path(__file__).parents[2] / "platform/headrace/engines/ray_gcs_ready.sh"
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


def test_jobs_of_steps_that_are_long_over_are_forgotten_and_no_others():
    ours = {"headrace.dev/run": "r"}
    jobs = [
        {"submission_id": "old", "metadata": ours, "end_time": 800_000},
        {"submission_id": "late", "metadata": ours, "end_time": 950_000},
        {"submission_id": "at work", "metadata": ours, "end_time": None},
        {"submission_id": "somebody's", "metadata": {}, "end_time": 800_000},
        {"submission_id": "", "metadata": None, "end_time": 800_000},
    ]
    assert forgotten(jobs, now=1000.0) == ["old"]
