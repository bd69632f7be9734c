"""What the doctor makes of a site's room, of an account's rights and of its pod's word."""

import json

import pytest

from headrace.cli.checks.access import STEPS, check_steps, summed_up
from headrace.cli.checks.finding import Finding, Health, caution, fine, wrong
from headrace.cli.checks.room import check_quota, check_range
from headrace.cli.checks.site import check_queue, check_versions, side_by_side
from headrace.cli.checks.trying import told, untried
from headrace.cluster.client import Cluster
from headrace.cluster.errors import NotThere
from headrace.cluster.problems import Cause, Problem
from headrace.cluster.quantities import amount, memory
from headrace.cluster.trials import Outcome, Trial, manifest, pulled
from headrace.core.errors import EnvironmentProblem
from headrace.data.probing import MARK
from headrace.sites.cluster import Resources, Site, StoreSettings
from headrace.sites.versions import mine

STORE = StoreSettings(url="s3://b/site", secret="keys")
SITE = Site(store=STORE, images={"python": "reg/python:1", "ray": "reg/ray:1"})
STEP = Resources(cpu="1", memory="2Gi")


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("1500m", 1.5), ("2Gi", 2**31), ("2G", 2e9), ("1e3", 1e3), ("100k", 1e5), (3, 3)],
)
def test_a_quantity_is_a_number(text, number):
    assert amount(text) == number


def test_a_text_that_is_no_quantity():
    with pytest.raises(ValueError, match="'2GB' is no quantity"):
        amount("2GB")


def test_memory_is_written_as_kubernetes_users_do():
    assert [memory(one) for one in (2**31, 1.5 * 2**30, 300 * 2**20)] == ["2Gi", "1.5Gi", "300Mi"]


def quota(hard, used):
    return {"metadata": {"name": "team"}, "status": {"hard": hard, "used": used}}


def test_a_quota_with_room():
    found = quota({"requests.memory": "8Gi", "pods": "10"}, {"requests.memory": "1Gi", "pods": "2"})
    assert check_quota(found, STEP) == fine(
        "quota team", "requests.memory 1Gi of 8Gi, pods 2 of 10"
    )


def test_a_quota_without_room_now():
    found = quota({"requests.cpu": "2"}, {"requests.cpu": "1500m"})
    assert check_quota(found, STEP) == caution(
        "quota team",
        "has no room for a python step now: requests.cpu 1500m of 2",
        "wait until other work has ended, or have it raised",
    )


def test_a_quota_that_never_has_room():
    assert check_quota(quota({"memory": "1Gi"}, {}), STEP) == wrong(
        "quota team",
        "never lets a python step in: memory is 1Gi at most",
        "have it raised, or lower `defaults` of the site",
    )


def test_a_limit_below_what_steps_ask_for():
    limits = {
        "metadata": {"name": "range"},
        "spec": {"limits": [{"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
                            {"type": "Container", "max": {"memory": "3Gi"}}]},
    }  # fmt: skip
    assert check_range(limits, SITE) is None
    big = Site(store=STORE, defaults={"ray": Resources(memory="4Gi")})
    assert check_range(limits, big) == wrong(
        "limits range",
        "a ray step asks for 4Gi of memory, and 3Gi is the most there",
        "lower `defaults.ray` of the site, or have the limit raised",
    )


def test_rights_are_summed_up_by_what_they_are_about():
    lacking = [
        "delete pods",
        "list events",
        "get rayjobs",
        *[f"{one} jobs" for one in STEPS["jobs"]],
    ]
    assert summed_up(lacking, STEPS) == (
        "do nothing with events and jobs; not delete pods; not get rayjobs"
    )
    assert check_steps("headrace-step", []) == fine(
        "account", "headrace-step may do all that steps take"
    )


def outcome(log="", problem=None, pull=""):
    return Outcome(log=log, problem=problem, waited=3.14, pulled=pull)


def test_what_a_pod_found_is_told_part_by_part():
    found = {
        "versions": {"python": "3.12", "headrace": "0.1.0"},
        "store": {"found": 0.123},
        "mlflow": {"what": "MLflow does not answer: x", "where": ["http://m"], "hint": "is it up?"},
        "account": {"found": ["get pods/log"]},
    }
    log = f"some warning\n{MARK}{json.dumps(found)}\n"
    site = Site(store=STORE, images=SITE.images, versions={"python": "3.12", "headrace": "0.2.0"})
    assert list(told(outcome(log, pull="2.1s, 0.4 GB"), site)) == [
        fine("pod", "started in 3.1 s, image pulled in 2.1s, 0.4 GB"),
        caution(
            "image python",
            "holds headrace 0.1.0 instead of 0.2.0",
            "upgrade the chart with the values file that images/build.py wrote with the images",
        ),
        fine("store in pod", "written, read, deleted in 0.1 s"),
        Finding(
            subject="MLflow in pod", health=Health.WRONG, text="MLflow does not answer: x",
            remedy="is it up?", where=("http://m",),
        ),
        wrong(
            "account",
            "headrace-step may do nothing with pods/log",
            "have the Role headrace-step bound to it: `extraServiceAccounts` in the chart's values",
        ),
    ]  # fmt: skip


def test_a_pod_that_could_not_say_anything():
    problem = Problem(cause=Cause.CRASH, text="its container 'trial' ended with exit code 1",
                      remedy="look at it")  # fmt: skip
    log = (
        "Traceback (most recent call last):\n  …\nModuleNotFoundError: No module named 'headrace'\n"
    )
    assert list(told(outcome(log, problem), SITE)) == [
        Finding(
            subject="pod", health=Health.WRONG,
            text="its container 'trial' ended with exit code 1", remedy="look at it",
            where=("ModuleNotFoundError: No module named 'headrace'",),
        )
    ]  # fmt: skip
    assert list(told(outcome("hello\n"), SITE)) == [
        wrong("pod", "a pod with reg/python:1 ended without a word", "is it Headrace's image?")
    ]


def test_images_that_were_not_tried():
    assert untried(SITE) == Finding(
        subject="images", health=Health.ABSENT, text="ray not tried: they are gigabytes",
        remedy="--images has them pulled",
    )  # fmt: skip


def test_how_long_a_pull_took_is_in_an_event():
    message = (
        'Successfully pulled image "r/x:1" in 12.5s (12.6s including waiting). '
        "Image size: 376000000 bytes."
    )
    assert pulled([{"reason": "Pulled", "message": message}]) == "12.5s, 0.4 GB"
    there = 'Container image "r/x:1" already present on machine'
    assert pulled([{"reason": "Pulled", "message": there}]) == ""


def test_a_trials_pod_is_confined_and_cleared_away_by_itself():
    trial = Trial(
        name="t", image="i", command=["true"], account="headrace-step", pull_secrets=["p"],
        node_selector={"pool": "a"}, queue="q",
    )  # fmt: skip
    found = manifest(trial)
    assert found["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "headrace",
        "headrace.dev/role": "trial",
        "kueue.x-k8s.io/queue-name": "q",
    }
    assert found["spec"]["activeDeadlineSeconds"] == 600
    assert found["spec"]["imagePullSecrets"] == [{"name": "p"}]
    assert found["spec"]["nodeSelector"] == {"pool": "a"}


def test_answers_come_in_the_order_of_the_questions_and_errors_are_answers():
    def breaks():
        yield fine("Secret", "is there")
        raise EnvironmentProblem("No.", hint="Yes.")

    questions = [("store", breaks), ("nodes", lambda: [fine("nodes", "many")])]
    assert list(side_by_side(questions)) == [
        fine("Secret", "is there"),
        wrong("store", "No.", "Yes."),
        fine("nodes", "many"),
    ]


def test_versions_that_are_not_told_are_a_reservation():
    assert [one.health for one in check_versions(SITE)] == [Health.CAUTION, Health.ABSENT]
    kinds = ("python", "spark", "ray", "serve")
    told_ones = Site(store=STORE, versions=mine(), images=dict.fromkeys(kinds, "image"))
    assert [one.health for one in check_versions(told_ones)] == [Health.FINE]


class Queues(Cluster):
    """A cluster with Kueue or without, and perhaps with a LocalQueue."""

    def __init__(self, *, kueue=True, queue=None):
        object.__setattr__(self, "known", (kueue, queue))

    def ask(self, path, *, method="GET", body=None):
        assert path == "/apis/kueue.x-k8s.io/v1beta2"
        if not self.known[0]:
            raise NotThere("no such API")
        return {}

    def get(self, kind, name):
        assert (kind, name) == ("localqueues", "team")
        return self.known[1]


def local_queue(status, message, **counts):
    active = {"type": "Active", "status": status, "message": message}
    return {"metadata": {"name": "team"}, "status": {"conditions": [active], **counts}}


@pytest.mark.parametrize(
    ("there", "health", "text"),
    [
        (Queues(kueue=False), Health.WRONG, "the cluster has no Kueue: nothing is queued"),
        (Queues(), Health.WRONG, "there is no LocalQueue 'team': nothing would ever be admitted"),
        (
            Queues(queue=local_queue("False", "ClusterQueue is stopped")),
            Health.WRONG, "team admits nothing: ClusterQueue is stopped",
        ),
        (
            Queues(queue=local_queue("True", "", pendingWorkloads=2, admittedWorkloads=1)),
            Health.FINE, "team admits what computes: 1 admitted, 2 waiting",
        ),
    ],
)  # fmt: skip
def test_whether_the_queue_admits_anything(there, health, text):
    [found] = check_queue(there, Site(store=STORE, queue="team"))
    assert found.health is health
    assert text in found.text
    assert list(check_queue(there, SITE)) == []
