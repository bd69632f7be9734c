"""What Kubernetes says of pods in trouble, and what we make of it.

`said.json` holds what a cluster (1.36) said of one pod or Job for each kind of trouble, shortened
to what is read. When other words are meant:
`UPDATE_GOLDEN=1 pytest tests/cluster/test_diagnosis.py`.
"""

import json
import os
from pathlib import Path

import pytest

from headrace.cluster.creations import why_given_up, why_no_pod
from headrace.cluster.diagnosis import Cause, of_pod, state_of
from headrace.core.states import State

SAID = json.loads((Path(__file__).parent / "said.json").read_text())
GOLDEN = Path(__file__).parents[1] / "golden" / "diagnosis.txt"
PODS = {one["metadata"]["name"]: one for one in SAID["pods"]}


def about(name):
    return [one for one in SAID["events"] if one["involvedObject"]["name"] == name]


def told(name, state, problem):
    if problem is None:
        return f"{name} ({state}): nothing is wrong\n"
    return f"{name} ({state}): {problem.cause}\n    {problem.text}\n    {problem.remedy}\n"


def test_each_trouble_has_its_sentence_and_remedy():
    lines = [told(name, state_of(pod), of_pod(pod, SAID["events"])) for name, pod in PODS.items()]
    for job in SAID["jobs"]:
        name = job["metadata"]["name"]
        lines.append(told(name, "job", why_given_up(job) or why_no_pod(job, about(name))))
    text = "\n".join(lines)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_it_says_since_when():
    assert of_pod(PODS["gpu"], about("gpu")).since == 1795520810.0
    assert of_pod(PODS["oom"], about("oom")).since == 1795520827.0
    assert of_pod(PODS["nomount"], about("nomount")).since == 1795520811.0


def taken(reason, message="", **meta):
    """A running pod with a mark that it is to go."""
    target = {
        "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
        "lastTransitionTime": "2026-11-24T11:49:17Z",
    }  # fmt: skip
    return {
        "metadata": {"name": "step", **meta},
        "spec": {"containers": [{"name": "step"}]},
        "status": {"phase": "Running", "conditions": [target]},
    }


@pytest.mark.parametrize(
    ("reason", "cause", "text"),
    [
        ("PreemptionByScheduler", Cause.PREEMPTED, "had to make room for a pod of higher priority"),
        ("DeletionByTaintManager", Cause.NODE_LOST, "lost its node, which does not answer"),
        ("DeletionByPodGC", Cause.NODE_LOST, "lost its node, which is gone"),
        ("TerminationByKubelet", Cause.NODE_LOST, "was ended by its node, which shuts down"),
        ("SomethingNew", Cause.EVICTED, "is being taken away: for no reason"),
    ],
)
def test_a_pod_that_is_taken_away(reason, cause, text):
    found = of_pod(taken(reason, "for no reason."))
    assert (found.cause, found.text, found.since) == (cause, text, 1795520957.0)


def test_a_pod_that_somebody_deletes_is_cancelled_and_one_that_is_taken_away_has_failed():
    deleted = taken("", deletionTimestamp="2026-11-24T11:49:42Z")
    deleted["status"]["conditions"] = []
    assert state_of(deleted) is State.CANCELLED
    drained = taken("EvictionByEvictionAPI", deletionTimestamp="2026-11-24T11:49:42Z")
    assert state_of(drained) is State.FAILED


def test_a_phase_that_nobody_knows_counts_as_failed():
    assert state_of({"metadata": {"name": "x"}, "status": {"phase": "Dreaming"}}) is State.FAILED


def test_out_of_memory_goes_before_the_other_containers_that_were_ended_for_it():
    pod = json.loads(json.dumps(PODS["oom"]))
    other = {"name": "aside", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    pod["status"]["containerStatuses"].insert(0, other)
    assert of_pod(pod) == of_pod(PODS["oom"])


def test_what_ended_a_container_is_past_once_it_runs_again():
    pod = json.loads(json.dumps(PODS["crashloop"]))
    assert of_pod(pod).cause is Cause.CRASH
    pod["status"]["containerStatuses"][0]["state"] = {"running": {}}
    assert of_pod(pod) is None


REGISTRIES = {
    "pull access denied, repository does not exist or may require authorization: server message: "
    "insufficient_scope: authorization failed": "its registry refuses it",
    "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to "
    "https://ghcr.io/token: 403 Forbidden": "its registry refuses it",
    "unexpected status code 429 Too Many Requests - Server message: toomanyrequests: You have "
    "reached your unauthenticated pull rate limit": "its registry is asked too often",
    "no match for platform in manifest: not found": "it has no variant for the node's processor",
    'failed to do request: Head "https://r/v2/x/manifests/1": dial tcp 10.0.0.1:443: connect: '
    "connection refused": "its registry does not answer",
    "tls: failed to verify certificate: x509: certificate signed by unknown authority":
        "the nodes do not trust its registry's certificate",
    "http: server gave HTTP response to HTTPS client":
        "its registry speaks plain HTTP, which the nodes refuse",
    "write /var/lib/containerd/x: no space left on device": "the node's disk is full",
    "something new altogether": "something new altogether",
}  # fmt: skip


@pytest.mark.parametrize("said", REGISTRIES)
def test_what_a_registry_says(said):
    image = "registry.example.com/denied/403:1"
    waiting = {"reason": "ErrImagePull", "message": f'failed to pull image "{image}": {said}'}
    pod = {
        "metadata": {"name": "x"},
        "spec": {"containers": [{"name": "step", "image": image}]},
        "status": {
            "phase": "Pending",
            "containerStatuses": [{"name": "step", "image": image, "state": {"waiting": waiting}}],
        },
    }
    assert of_pod(pod).text == f"cannot get the image {image}: {REGISTRIES[said]}"


def test_an_older_cluster_tells_the_reason_in_an_event_only():
    image = "registry.example.com/no/such:1"
    pod = json.loads(json.dumps(PODS["noimage"]))
    for one in pod["status"]["containerStatuses"]:
        one["state"]["waiting"]["message"] = f'Back-off pulling image "{image}"'
    assert of_pod(pod, about("noimage")) == of_pod(PODS["noimage"], about("noimage"))


def test_an_event_of_another_pod_tells_nothing():
    assert of_pod(PODS["nomount"], about("nosecret")) is None
