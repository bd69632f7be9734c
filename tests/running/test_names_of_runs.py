"""A run may be named, and a name is given once."""

import pytest
from kfp import dsl

from headrace.core.errors import UsageError
from headrace.running.naming import LONGEST, require_free
from headrace.running.run import run_pipeline
from headrace.sites.home import Home
from headrace.sites.journal import Journal


@dsl.component
def say(text: str) -> str:
    return text


@dsl.pipeline
def saying() -> str:
    return say(text="x").output


@pytest.fixture
def home(tmp_path):
    return Home(root=tmp_path / ".headrace")


def test_a_run_has_the_name_it_was_given_and_no_other_run_has(home):
    first = run_pipeline(saying, {}, home, record=False, name="nightly-3")
    assert (first.run_id, str(first.state)) == ("nightly-3", "succeeded")
    with pytest.raises(UsageError) as caught:
        run_pipeline(saying, {}, home, record=False, name="nightly-3")
    assert caught.value.what == "There is a run named 'nightly-3' already."
    assert caught.value.where == (str(home.run("nightly-3")),)
    assert caught.value.hint == "choose another name, or leave --name out"


def test_a_name_that_a_run_has_whose_id_is_another_servers_is_taken_too(home):
    journal = Journal(home.run("1f2e"))
    journal.write(
        {"type": "run_started", "run": "1f2e", "called": "nightly", "pipeline": "a",
         "parameters": {}, "pid": 1}
    )  # fmt: skip
    journal.close()
    with pytest.raises(UsageError) as caught:
        require_free("nightly", home)
    assert caught.value.where == (str(home.run("1f2e")),)


@pytest.mark.parametrize("name", ["a", "a-b", "2026-11-24", "x" * LONGEST])
def test_what_may_be_a_name(home, name):
    require_free(name, home)


@pytest.mark.parametrize(
    "name", ["", "-", "a-", "-a", "A", "a b", "a/b", "../a", "a.b", "é", "a\n", "x" * (LONGEST + 1)]
)
def test_what_may_not(home, name):
    with pytest.raises(UsageError, match="cannot be named"):
        require_free(name, home)
