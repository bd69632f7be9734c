"""What an error says, and with which exit code."""

import pytest

from headrace.core import errors
from headrace.core.errors import HeadraceError, UsageError, did_you_mean
from headrace.core.states import State


def test_the_whole_of_an_error():
    error = UsageError("It is wrong.", where=["here", "there"], hint="mend it")
    assert str(error) == "It is wrong.\n  at: here\n  at: there\n  try: mend it"
    assert (error.what, error.where, error.hint) == ("It is wrong.", ("here", "there"), "mend it")


def test_an_error_with_nothing_more_to_say():
    assert str(HeadraceError("It is wrong.")) == "It is wrong."
    assert HeadraceError("It is wrong.", where="here").where == ("here",)


def test_every_kind_has_its_exit_code():
    codes = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, HeadraceError)
    }
    assert codes == {
        "HeadraceError": 1, "UsageError": 2, "GateFailed": 3, "EnvironmentProblem": 4,
        "StepFailed": 1, "RunCancelled": 130,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("epoch", ["epochs", "flights"], "Did you mean 'epochs'?"),
        ("rate", ["rates", "rat", "zz"], "Did you mean 'rates' or 'rat'?"),
        ("zzz", ["b", "a"], "There is: a, b."),
        ("zzz", [], ""),
    ],
)
def test_near_misses(name, known, hint):
    assert did_you_mean(name, known) == hint


def test_states():
    assert {one.value for one in State if one.done} == {
        "succeeded", "reused", "skipped", "failed", "cancelled",
    }  # fmt: skip
    assert {one.value for one in State if one.good} == {"succeeded", "reused"}
