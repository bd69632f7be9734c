"""What is put back when a roll-out fails. What is proved here:

an object is applied again as it was found, without what Kubernetes itself wrote; and of several
templates the one whose pods answer is taken, also if an earlier roll-out was cut short.
"""

from __future__ import annotations

from typing import Any

from headrace.serving.restoring import last_good, restorable

REVISION = "deployment.kubernetes.io/revision"


def template(version: int, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {
            "labels": {"headrace.dev/model": "flights", **labels},
            "annotations": {"headrace.dev/version": str(version)},
        },
        "spec": {"containers": [{"name": "server", "image": f"i:{version}"}]},
    }


def deployment(version: int, revision: int, replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "model-flights",
            "namespace": "team",
            "uid": "u",
            "resourceVersion": "5",
            "managedFields": [{}],
            "labels": {"headrace.dev/run": f"r-{version}"},
            "annotations": {
                REVISION: str(revision),
                "headrace.dev/version": str(version),
                "headrace.dev/rollout": f"t-{version}",
            },
        },
        "spec": {"replicas": replicas, "paused": False, "template": template(version)},
        "status": {"replicas": replicas},
    }


def replica_set(version: int, revision: int, available: int) -> dict[str, Any]:
    return {
        "metadata": {"annotations": {REVISION: str(revision)}},
        "spec": {"template": template(version, **{"pod-template-hash": f"h{version}"})},
        "status": {"availableReplicas": available} if available else {},
    }


def found_before(version: int) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "model-flights",
            "labels": {"headrace.dev/run": f"r-{version}"},
            "annotations": {
                "headrace.dev/version": str(version),
                "headrace.dev/rollout": f"t-{version}",
            },
        },
        "spec": {"replicas": 2, "paused": False, "template": template(version)},
    }


def test_an_object_is_applied_as_it_was_found() -> None:
    assert restorable(deployment(1, 1, 2)) == found_before(1)


def test_the_template_before_is_put_back_with_the_replicas_of_now() -> None:
    sets = [replica_set(2, 2, 0), replica_set(1, 1, 3)]
    again = last_good(found_before(1), deployment(2, 2, 3), sets)
    wanted = found_before(1)
    assert again == {**wanted, "spec": {**wanted["spec"], "replicas": 3}}


def test_a_template_that_never_answered_is_not_put_back() -> None:
    # Version 2 was being rolled out when its client was killed; now 3 fails as well.
    sets = [replica_set(3, 3, 0), replica_set(2, 2, 0), replica_set(1, 1, 2)]
    again = last_good(found_before(2), deployment(3, 3, 2), sets)
    assert again["spec"]["template"] == template(1)
    assert again["metadata"]["annotations"] == {
        "headrace.dev/version": "1",
        "headrace.dev/rollout": "t-2",
    }


def test_if_nothing_answers_what_was_found_is_put_back() -> None:
    sets = [replica_set(2, 2, 0), replica_set(1, 1, 0)]
    assert last_good(found_before(1), deployment(2, 2, 2), sets) == found_before(1)
