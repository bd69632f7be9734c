"""Labels and names that Kubernetes accepts, whatever people call their steps and runs."""

import re
import string

from hypothesis import given
from hypothesis import strategies as st

from headrace.cluster import kinds, labels

ANY_TEXT = st.text(min_size=1, max_size=200)


@given(ANY_TEXT)
def test_a_label_value_is_one_that_kubernetes_takes(text):
    value = labels.value(text)
    assert len(value) <= 63
    assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?", value)


@given(ANY_TEXT, ANY_TEXT)
def test_two_texts_never_share_a_value(one, other):
    assert (labels.value(one) == labels.value(other)) == (one == other)


@given(st.text(alphabet=string.ascii_letters + string.digits + "-_.", min_size=1, max_size=63))
def test_what_is_a_value_already_stays(text):
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?", text):
        assert labels.value(text) == text


@given(st.lists(ANY_TEXT, min_size=1, max_size=4))
def test_a_name_is_a_dns_label_with_room_for_a_pods_suffix(parts):
    name = labels.name(*parts)
    assert len(name) <= 52
    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name)


def test_names_that_differ_only_where_they_are_cut_or_changed_differ():
    run = "flights-20260101-101010-ab12"
    long = "for-loop-1/0/condition-branches-2/condition-3/a-step-with-a-long-name"
    names = {labels.name(run, step, "1") for step in (long, f"{long}-2", "a_b", "a-b", "A-b")}
    assert len(names) == 5
    assert labels.name(run, "train", "1") == f"{run}-train-1"


def test_the_labels_of_a_step():
    found = labels.of_step(
        run="flights-1", step="for-loop-1/0/train", pipeline="flights",
        code="sha256:0123456789abcdef", role="step", queue="gpus",
    )  # fmt: skip
    step = labels.value("for-loop-1/0/train")
    assert found == {
        "app.kubernetes.io/managed-by": "headrace",
        "headrace.dev/run": "flights-1",
        "headrace.dev/step": step,
        "headrace.dev/pipeline": "flights",
        "headrace.dev/code": "0123456789ab",
        "headrace.dev/role": "step",
        "kueue.x-k8s.io/queue-name": "gpus",
    }
    assert labels.selector({"b": "2", "a": "1"}) == "a=1,b=2"


def test_where_the_api_serves_each_kind():
    assert kinds.path("pods", "ns", "p", sub="log") == "/api/v1/namespaces/ns/pods/p/log"
    assert kinds.path("jobs", "ns") == "/apis/batch/v1/namespaces/ns/jobs"
    assert kinds.path("rayjobs", "ns", "r") == "/apis/ray.io/v1/namespaces/ns/rayjobs/r"
    assert kinds.path("nodes", "ns") == "/api/v1/nodes"
    assert kinds.group("jobs") == "batch"
    assert kinds.group("pods") == ""
    manifests = ("Job", "NetworkPolicy", "RayJob", "PodDisruptionBudget", "Service")
    assert [kinds.plural(one) for one in manifests] == [
        "jobs", "networkpolicies", "rayjobs", "poddisruptionbudgets", "services",
    ]  # fmt: skip
