"""What a gate decides: on figures, without a champion, and what it says about it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import UsageError
from headrace.registry.gates import Decision, decide

FIGURES = {"auc": 0.712, "ece": 0.04, "champion.auc": 0.731, "carrier.auc": 0.61}
OWN = {name: value for name, value in FIGURES.items() if not name.startswith("champion.")}

numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
comparisons = st.builds(
    "{} {} {}".format,
    st.sampled_from(["auc", "ece"]),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.sampled_from(["0.5", "champion.auc", "champion.ece", "auc", "champion.auc + 0.01"]),
)
gates = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds("({}) and ({})".format, inner, inner),
        st.builds("({}) or ({})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=6,
)


def test_a_failed_gate_spells_out_the_comparison_that_failed() -> None:
    assert decide("auc >= champion.auc and ece < 0.05", FIGURES, champion=True) == Decision(
        gate="auc >= champion.auc and ece < 0.05",
        passed=False,
        no_champion=False,
        reasons=("auc 0.712 < champion.auc 0.731",),
        figures={"auc": 0.712, "champion.auc": 0.731, "ece": 0.04},
    )


def test_a_passed_gate_spells_out_every_comparison() -> None:
    decision = decide("auc > carrier.auc && ece < 0.05", FIGURES, champion=True)
    assert decision.passed
    assert decision.reasons == ("auc 0.712 > carrier.auc 0.61", "ece 0.04 < 0.05")


def test_figures_that_differ_late_are_shown_far_enough_to_differ() -> None:
    figures = {"auc": 0.712345, "champion.auc": 0.712349}
    decision = decide("auc >= champion.auc", figures, champion=True)
    assert decision.reasons == ("auc 0.712345 < champion.auc 0.712349",)


def test_arithmetic_is_shown_with_its_value() -> None:
    decision = decide("auc >= champion.auc + 0.01", FIGURES, champion=True)
    assert decision.reasons == ("auc 0.712 < champion.auc + 0.01 0.741",)


@pytest.mark.parametrize(
    ("gate", "passed"),
    [
        ("auc >= champion.auc", True),
        ("not (auc < champion.auc)", True),
        ("auc / champion.auc > 1.0", True),
        ("auc > 0.7 and auc >= champion.auc", True),
        ("auc > 0.8 and auc >= champion.auc", False),
        ("auc > 0.8 or auc >= champion.auc", True),
        ("auc >= champion.auc and not (ece > champion.ece)", True),
        ("not (auc > 0.7 and auc < champion.auc)", True),
        ("not (auc > 0.7 or auc < champion.auc)", False),
    ],
)
def test_without_a_champion_only_the_other_comparisons_decide(gate: str, passed: bool) -> None:
    assert decide(gate, OWN, champion=False).passed is passed


def test_without_a_champion_the_decision_says_so() -> None:
    assert decide("auc >= champion.auc", OWN, champion=False) == Decision(
        gate="auc >= champion.auc",
        passed=True,
        no_champion=True,
        reasons=("no champion yet for auc >= champion.auc",),
        figures={"auc": 0.712},
    )


def test_without_a_champion_the_comparisons_that_need_none_are_spelled_out_too() -> None:
    decision = decide("auc > carrier.auc and auc >= champion.auc", OWN, champion=False)
    assert decision.reasons == (
        "auc 0.712 > carrier.auc 0.61",
        "no champion yet for auc >= champion.auc",
    )


def test_no_gate_lets_everything_pass() -> None:
    assert decide("  ", {}, champion=True) == Decision(
        gate="", passed=True, no_champion=False, reasons=(), figures={}
    )


@pytest.mark.parametrize("gate", ["auc >= 0.1", "not (auc < 0.1)", "auc > 0.9 or ece < 1"])
def test_a_figure_that_is_not_a_number_fails_the_gate(gate: str) -> None:
    decision = decide(gate, {"auc": math.nan, "ece": 0.5}, champion=True)
    assert (decision.passed, decision.reasons) == (False, ("auc is not a number",))


def test_an_unknown_name_is_an_error_that_names_near_misses() -> None:
    with pytest.raises(UsageError) as caught:
        decide("acu >= champion.auc", FIGURES, champion=True)
    assert caught.value.what == (
        "The gate 'acu >= champion.auc' names acu, for which there is no figure."
    )
    assert caught.value.hint == "Did you mean 'auc'?"


def test_an_unknown_figure_of_a_missing_champion_is_an_error_too() -> None:
    with pytest.raises(UsageError) as caught:
        decide("auc >= champion.acu", OWN, champion=False)
    assert caught.value.hint == (
        "Did you mean 'champion.auc' or 'champion.ece' or 'champion.carrier.auc'?"
    )


def test_a_figure_that_the_champion_lacks_is_an_error() -> None:
    with pytest.raises(UsageError) as caught:
        decide("ece <= champion.ece", FIGURES, champion=True)
    assert caught.value.what == (
        "The gate 'ece <= champion.ece' compares with champion.ece, and the champion has no "
        "such figure."
    )


@pytest.mark.parametrize("gate", ["auc", "auc and ece > 0.1", "auc + 1"])
def test_a_gate_that_compares_nothing_is_an_error(gate: str) -> None:
    with pytest.raises(UsageError, match="A gate is made of comparisons"):
        decide(gate, FIGURES, champion=True)


@given(gate=gates, auc=numbers, ece=numbers, champion_auc=numbers, champion_ece=numbers)
def test_with_a_champion_a_gate_is_its_expression_in_python(
    gate: str, auc: float, ece: float, champion_auc: float, champion_ece: float
) -> None:
    figures = {"auc": auc, "ece": ece, "champion.auc": champion_auc, "champion.ece": champion_ece}
    python = gate.replace("champion.", "champion_")
    expected = eval(python, {}, {name.replace(".", "_"): one for name, one in figures.items()})
    decision = decide(gate, figures, champion=True)
    assert decision.passed is expected
    assert decision.reasons


@given(gate=gates, auc=numbers, ece=numbers, champion_auc=numbers, champion_ece=numbers)
def test_a_gate_that_some_champion_would_let_pass_passes_without_one(
    gate: str, auc: float, ece: float, champion_auc: float, champion_ece: float
) -> None:
    own = {"auc": auc, "ece": ece}
    beaten = own | {"champion.auc": champion_auc, "champion.ece": champion_ece}
    if decide(gate, beaten, champion=True).passed:
        assert decide(gate, own, champion=False).passed
