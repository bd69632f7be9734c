"""Why runs failed: what is made of evidence that real failures on a cluster have left."""

import json
from pathlib import Path

import pytest

from headrace.core.states import State
from headrace.operating.cause_kinds import kind_of
from headrace.operating.causes import explain
from headrace.operating.facts import Facts, Proof, StepFacts
from headrace.operating.queued import Queued

REAL = Path(__file__).parent / "golden" / "why"


def real(name):
    """Facts as they were gathered from a run on a cluster."""
    return facts_of(json.loads((REAL / f"{name}.json").read_text()))


def facts_of(raw):
    steps = [
        StepFacts(
            **{
                **step,
                "state": State(step["state"]),
                **{key: tuple(step[key]) for key in ("notes", "pods", "events", "ray", "log")},
            }
        )
        for step in raw["steps"]
    ]
    return Facts(**{**raw, "state": State(raw["state"]), "steps": tuple(steps)})


def failed(**step):
    """A run with one failed step."""
    return Facts(
        run="r", state=State.FAILED, steps=(StepFacts(step="train", name="train", **step),)
    )


def error(what, **more):
    return {"what": what, "where": [], "hint": "", "kind": "StepFailed", "traceback": "", **more}


@pytest.mark.parametrize(
    ("name", "kind", "text", "remedy"),
    [
        (
            "memory",
            "memory",
            "hungry: its pod ran out of memory: its container 'step' needed more than the 300Mi "
            "that it may use",
            "ask for more memory than 300Mi",
        ),
        (
            "unschedulable",
            "unschedulable",
            "slow: The step's pod failed: finds no node with 64 cpu free (0/1 nodes are "
            "available: 1 Insufficient cpu)",
            "ask for less, wait until other work has ended, or add nodes with more room",
        ),
        (
            "config",
            "config",
            "leaves: The step's pod failed: wants the key 'NO_SUCH_KEY', which the Secret "
            "'headrace-store' does not have",
            "add the key to the Secret 'headrace-store'",
        ),
        (
            "image",
            "image",
            "own: The step's pod failed: cannot get the image "
            "registry.testbed/headrace/nothing:here: its registry does not have it",
            "build and push it with images/build.py, or correct `images` of the site",
        ),
        (
            "deleted",
            "deleted",
            "slow: its pod was deleted while it ran",
            "run again: what was finished is reused",
        ),
        ("exception", "exception", "broken: KeyError: 'b'", ""),
        (
            "crash",
            "crash",
            "leaves: The step ended with exit code 7.",
            "its log has what it printed last",
        ),
        (
            "spark_memory",
            "memory",
            "hogs: Python ended suddenly on an executor. If nobody killed it, it was killed for "
            "want of memory in the executors' pods, which may use 896Mi each.",
            "give each executor more with hr.spark(memory=…), or make partitions smaller",
        ),
        (
            "ray_worker",
            "deleted",
            "trains: The Ray cluster does not come up: a Ray worker was deleted while it ran.",
            "the site waits 60 s for pods to start (limits.pending)",
        ),
        (
            "spark_task",
            "exception",
            "divides: PythonException: ZeroDivisionError: integer division or modulo by zero "
            "(/work/code/ce293670b312b57b1c15a5c9749fe21e079ee6699a1c37d2d15bcf46ec4e6c07/"
            "engines.py:9 in bad, in a Python worker)",
            "",
        ),
    ],
)
def test_what_really_happened_is_the_likely_cause(name, kind, text, remedy):
    found = explain(real(name))
    first = found.causes[0]
    assert (found.verdict, found.text) == ("failed", text)
    assert (first.kind, f"{first.step}: {first.text}", first.remedy) == (kind, text, remedy)
    assert [one.kind for one in found.causes] == [kind]


def test_an_own_exception_goes_before_what_befell_the_engine_by_the_way():
    facts = failed(
        engine="spark",
        error=error("KeyError: 'b'", kind="KeyError", traceback='  File "a.py", line 3, in f'),
        executors={"ends": ["executor 1 ran out of memory: its pod may use 1Gi"]},
        places={"executors": "s3://b/executors.json"},
    )
    assert [(one.kind, one.text) for one in explain(facts).causes] == [
        ("exception", "KeyError: 'b'"),
        ("memory", "executor 1 ran out of memory: its pod may use 1Gi"),
    ]


def test_an_engines_exception_goes_behind_what_befell_the_engine():
    facts = failed(
        engine="spark",
        error=error(
            "Py4JJavaError: Job aborted: Task 3 in stage 7.0 failed 4 times, most recent",
            kind="Py4JJavaError", traceback='  File "a.py", line 3, in f',
        ),
        executors={"ends": ["executor 1 was evicted: The node was low on resource: memory."]},
        places={"executors": "s3://b/executors.json", "log": "logs/train.log"},
    )  # fmt: skip
    first, second = explain(facts).causes
    assert (first.kind, first.remedy) == ("evicted", "run again: what was finished is reused")
    assert second.proofs == (
        Proof(text='  File "a.py", line 3, in f', where="logs/train.log"),
        Proof(text="Spark's task 3 in stage 7.0 failed 4 times", where="logs/train.log"),
    )


def test_a_dead_ray_worker_is_named_with_how_it_died():
    facts = failed(
        engine="ray",
        error=error("The training failed: a worker died", kind="StepFailed"),
        ray=(
            {"name": "ray-x-head-1", "labels": {"ray.io/node-type": "head"}, "death": ""},
            {
                "name": "ray-x-worker-2",
                "labels": {"ray.io/node-type": "worker"},
                "death": "OOMKilled: it needed more memory than its pod has",
            },
        ),
        places={"ray": "s3://b/pods.json"},
    )
    first = explain(facts).causes[0]
    assert (first.kind, first.text, first.proofs[0].where) == (
        "memory",
        "the Ray worker ray-x-worker-2 died: OOMKilled: it needed more memory than its pod has",
        "s3://b/pods.json",
    )


def test_a_gate_that_said_no_is_no_failure_of_a_step():
    facts = failed(error=error("The gate said no: auc 0.71 >= 0.8", kind="GateFailed", exit_code=3))
    found = explain(facts)
    assert (found.verdict, found.causes[0].kind) == ("gate", "gate")


def test_a_pod_that_was_never_made_for_want_of_quota():
    facts = failed(
        error=error("The step's pod went without a result."),
        events=(
            {
                "type": "Warning", "reason": "FailedCreate", "metadata": {"name": "e"},
                "involvedObject": {"name": "job-1"},
                "message": 'Error creating: pods "x" is forbidden: exceeded quota: small, '
                "requested: requests.cpu=2, used: requests.cpu=3, limited: requests.cpu=4",
            },
        ),
    )  # fmt: skip
    first = explain(facts).causes[0]
    assert (first.kind, first.text) == (
        "quota",
        "its pod finds no room in the quota 'small': it asks for requests.cpu 2, and 3 of 4 is "
        "in use",
    )


def test_where_nothing_is_known_but_the_log_its_end_is_shown():
    facts = failed(
        error=error("The step ended with exit code 3."),
        log=("one", "", "two", "three"),
        places={"log": "logs/train.log"},
    )
    (only,) = explain(facts).causes[:1]
    assert (only.kind, only.text) == ("crash", "The step ended with exit code 3.")
    assert Proof(text="one\ntwo\nthree", where="logs/train.log") in [
        proof for one in explain(facts).causes for proof in one.proofs
    ]


def test_a_run_that_failed_before_any_step_did_says_the_runs_own_reason():
    facts = Facts(
        run="r", state=State.FAILED,
        error=error("Kubeflow Pipelines could not run it", hint="look there", where=["http://k"]),
    )  # fmt: skip
    (only,) = explain(facts).causes
    assert (only.kind, only.step, only.remedy) == ("kfp", "", "look there")
    assert only.proofs == (Proof(text="", where="http://k"),)


@pytest.mark.parametrize(
    ("state", "killed", "site", "active", "verdict", "text"),
    [
        (State.SUCCEEDED, False, "", False, "fine", "It did not fail."),
        (State.CANCELLED, False, "", False, "cancelled", "It was cancelled."),
        (
            State.RUNNING, False, "", False, "running",
            "It is at work, and nothing holds it up.",
        ),
        (
            State.CANCELLED, True, "", False, "killed",
            "Its process went without a word: it was killed, or the power went.",
        ),
        (
            State.CANCELLED, True, "c/n", True, "killed",
            "Its client went without a word; its pods go on.",
        ),
        (
            State.CANCELLED, True, "c/n", False, "killed",
            "Its client went without a word; nothing of it is at work any more.",
        ),
    ],
)  # fmt: skip
def test_runs_that_did_not_fail(state, killed, site, active, verdict, text):
    found = explain(Facts(run="r", state=state, killed=killed, site=site, active=active))
    assert (found.verdict, found.text, found.causes) == (verdict, text, ())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("OSError: [Errno 28] No space left on device", "disk"),
        ("The step was killed by SIGKILL.", "killed"),
        ("lost its node, which is gone", "node lost"),
        ("was not done after its 60 s", "deadline"),
        ("had to make room for a pod of higher priority", "preempted"),
        ("has not been admitted by its queue", "queued"),
        ("waits for the queue team: it is full", "queued"),
        ("is more than the queue team ever admits", "refused"),
        ("lost its place in the queue team", "preempted"),
        ("Ray's head was lost: its pod was deleted.", "deleted"),
        ("something else", "unknown"),
    ],
)
def test_texts_give_their_kind_away(text, kind):
    assert kind_of(text).name == kind


@pytest.mark.parametrize(
    ("kind", "pods", "who"),
    [
        ("RayJob", (), "its RayJob"),
        ("Pod", ({"metadata": {"name": "x", "labels": {"headrace.dev/role": "spark-executor",
                                                       "spark-exec-id": "2"}}},), "executor 2"),
    ],
)  # fmt: skip
def test_what_stands_in_a_queue_is_why_a_step_waits(kind, pods, who):
    waits = Queued(
        kind=kind, name="x", step="train", cause="queued", remedy="wait",
        reason="waits for the queue team: it is full",
    )  # fmt: skip
    step = StepFacts(step="train", name="train", state=State.RUNNING, pods=pods, queued=(waits,))
    found = explain(Facts(run="r", state=State.RUNNING, steps=(step,)))
    assert found.verdict == "waiting"
    assert [(one.kind, one.text, one.remedy) for one in found.causes] == [
        ("queued", f"{who} waits for the queue team: it is full", "wait")
    ]
