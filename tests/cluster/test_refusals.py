"""What the API server says, in our words: which verb on what, for which account."""

import json

import pytest

from headrace.cluster import errors

WHERE = "context kind-kind, namespace ml"


def answer(status, message):
    body = json.dumps({"kind": "Status", "message": message, "code": status})
    return errors.from_answer(status, body, asked="create jobs", where=WHERE)


def test_a_missing_permission_names_verb_resource_and_account():
    error = answer(
        403,
        'jobs.batch is forbidden: User "system:serviceaccount:ml:headrace-step" cannot create '
        'resource "jobs" in API group "batch" in the namespace "ml"',
    )
    assert type(error) is errors.Forbidden
    assert str(error) == (
        "system:serviceaccount:ml:headrace-step may not create jobs.batch.\n"
        f"  at: {WHERE}\n"
        "  try: have a Role with verb 'create' on 'jobs.batch' bound to it"
    )


def test_a_quota_is_not_a_missing_permission():
    error = answer(
        403,
        'pods "x" is forbidden: exceeded quota: small, requested: cpu=2, used: cpu=3, limited: '
        "cpu=4",
    )
    assert type(error) is errors.QuotaExceeded
    assert error.what == (
        "The namespace's quota has no room: small, requested: cpu=2, used: cpu=3, limited: cpu=4"
    )
    assert error.hint


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.ClusterProblem), (404, errors.NotThere), (409, errors.Conflict),
        (422, errors.ClusterProblem), (429, errors.Unreachable), (500, errors.Unreachable),
        (503, errors.Unreachable),
    ],
)  # fmt: skip
def test_what_other_answers_mean(status, kind):
    error = answer(status, "it is so")
    assert type(error) is kind
    assert error.where == (WHERE,)
    assert error.exit_code == 4


def test_an_answer_that_is_no_status():
    error = errors.from_answer(502, "<html>Bad Gateway</html>", asked="get pods", where=WHERE)
    assert error.what == "The cluster could not get pods now: <html>Bad Gateway</html>"


def test_a_refused_connection_is_said_without_objects_addresses():
    class Refused(Exception):
        reason = ConnectionRefusedError(111, "Connection refused")

    error = errors.from_silence(Refused(), where=WHERE)
    assert error.what == "The cluster does not answer: [Errno 111] Connection refused"
    assert "kubectl cluster-info" in error.hint
