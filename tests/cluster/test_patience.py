"""A server that does not answer is asked again, for as long as patience lasts."""

import pytest

from headrace.cluster.errors import ClusterProblem, Unreachable
from headrace.cluster.patience import patiently


def answers(*failures):
    """A request that raises these one after the other, and is answered then."""
    left = list(failures)

    def request():
        if left:
            raise left.pop(0)
        return "yes"

    return request


def asked(request, seconds):
    """What the request gives, and what was said meanwhile."""
    said: list[str] = []
    found = patiently(
        request, unanswered=Unreachable, seconds=seconds, on_wait=said.append, back="it is back"
    )
    return found, said


def test_an_answer_needs_no_word():
    assert asked(answers(), 0) == ("yes", [])


def test_silence_is_told_once_and_so_is_its_end():
    silence = [Unreachable(f"no answer {number}") for number in range(2)]
    assert asked(answers(*silence), 5) == ("yes", ["no answer 0", "it is back"])


def test_patience_ends():
    with pytest.raises(Unreachable, match="no answer"):
        asked(answers(Unreachable("no answer")), 0)


def test_a_refusal_is_no_silence():
    with pytest.raises(ClusterProblem, match="no"):
        asked(answers(ClusterProblem("no")), 5)
