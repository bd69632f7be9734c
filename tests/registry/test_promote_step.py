"""`promote` moves an alias through a gate and keeps every decision; the catalog shows both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kfp.dsl import Metrics, Model

from headrace.core.errors import GateFailed, UsageError
from headrace.registry import catalog, steps
from headrace.registry.catalog import Promotion, RegisteredModel
from headrace.sites.home import Home

pytestmark = pytest.mark.engine


@pytest.fixture
def register(
    step_of: Callable[..., Home], save_model: Callable[..., Path], tmp_path: Path
) -> Callable[..., str]:
    """Register another model with these figures; gives the version."""
    step_of("run-1", "register")
    made: list[str] = []

    def call(**figures: float) -> str:
        folder = save_model(tmp_path / f"model-{len(made)}", ["hour", "wind"], seed=len(made))
        metrics = Metrics(metadata={name.replace("_", "."): one for name, one in figures.items()})
        made.append(steps.register(Model(uri=str(folder)), "delays", metrics).version)
        return made[-1]

    return call


def champion(home: Home) -> int | None:
    return catalog.find_alias(home.tracking_uri, "delays", "champion")


def test_the_first_version_passes_and_the_decision_is_kept(
    ready: Home, register: Callable[..., str]
) -> None:
    promoted = steps.promote(register(auc=0.7))
    assert promoted.promoted
    assert champion(ready) == 1
    (kept,) = catalog.history(ready.tracking_uri, "delays")
    assert kept == Promotion(
        time=kept.time,
        name="delays",
        version=1,
        alias="champion",
        promoted=True,
        gate="auc >= champion.auc",
        reasons=("no champion yet for auc >= champion.auc",),
        figures={"auc": 0.7},
        champion=None,
        basis="",
        run="run-1",
        user=kept.user,
    )
    shown = dict(promoted.decision)
    assert Promotion(**{**shown, "reasons": tuple(shown["reasons"])}) == kept


def test_a_worse_version_is_held_back_with_its_figures_spelled_out(
    ready: Home, register: Callable[..., str]
) -> None:
    steps.promote(register(auc=0.731))
    worse = register(auc=0.712)
    with pytest.raises(GateFailed) as caught:
        steps.promote(worse)
    assert str(caught.value) == (
        "Version 2 of delays did not pass the gate 'auc >= champion.auc': auc 0.712 < "
        "champion.auc 0.731 (champion measured when it was registered).\n"
        "  at: models:/delays/2\n"
        "  try: version 1 remains the champion"
    )
    assert champion(ready) == 1
    history = catalog.history(ready.tracking_uri, "delays")
    assert [(one.version, one.promoted, one.champion) for one in history] == [
        (1, True, None),
        (2, False, 1),
    ]
    assert history[1].figures == {"auc": 0.712, "champion.auc": 0.731}


def test_figures_measured_on_the_same_data_count_before_older_ones(
    ready: Home, register: Callable[..., str]
) -> None:
    steps.promote(register(auc=0.9))
    steps.promote(register(auc=0.712, champion_auc=0.7, champion_version=1.0))
    assert champion(ready) == 2
    last = catalog.history(ready.tracking_uri, "delays")[-1]
    assert (last.figures, last.basis, last.champion) == (
        {"auc": 0.712, "champion.auc": 0.7},
        "measured on the same data",
        1,
    )


def test_figures_of_a_former_champion_do_not_count(
    ready: Home, register: Callable[..., str]
) -> None:
    steps.promote(register(auc=0.7))
    late = register(auc=0.75, champion_auc=0.7, champion_version=1.0)
    steps.promote(register(auc=0.8))
    with pytest.raises(GateFailed, match=r"auc 0.75 < champion.auc 0.8"):
        steps.promote(late)


def test_a_version_that_holds_the_alias_keeps_it_and_nothing_is_added(
    ready: Home, register: Callable[..., str]
) -> None:
    version = register(auc=0.7)
    steps.promote(version)
    again = steps.promote(version, gate="auc > champion.auc")
    assert again.decision["reasons"] == ["it holds the alias already"]
    assert len(catalog.history(ready.tracking_uri, "delays")) == 1


def test_each_alias_has_a_champion_of_its_own(ready: Home, register: Callable[..., str]) -> None:
    first, second = register(auc=0.7), register(auc=0.6)
    steps.promote(first)
    steps.promote(second, alias="candidate")
    (model,) = catalog.models(ready.tracking_uri)
    assert model == RegisteredModel(
        name="delays", latest=2, count=2, aliases={"candidate": 2, "champion": 1}
    )
    newest, oldest = catalog.versions(ready.tracking_uri, "delays")
    assert (newest.aliases, oldest.aliases) == (("candidate",), ("champion",))


def test_a_gate_that_cannot_be_decided_changes_and_records_nothing(
    ready: Home, register: Callable[..., str]
) -> None:
    version = register(auc=0.7)
    with pytest.raises(UsageError) as caught:
        steps.promote(version, gate="acu > 0.5")
    assert caught.value.hint == "Did you mean 'auc'?"
    assert champion(ready) is None
    assert catalog.history(ready.tracking_uri, "delays") == []


@pytest.mark.parametrize(
    ("version", "what"),
    [
        ("delays", "A version was expected, as models:/NAME/VERSION, and not 'delays'."),
        ("models:/delays@champion", "A version was expected"),
        ("models:/delays/7", "The model 'delays' has no version 7."),
        ("models:/delay/1", "There is no registered model 'delay'."),
    ],
)
def test_a_version_that_is_not_there_is_an_error(
    register: Callable[..., str], version: str, what: str
) -> None:
    register(auc=0.7)
    with pytest.raises(UsageError) as caught:
        steps.promote(version)
    assert caught.value.what.startswith(what)


@pytest.mark.parametrize("alias", ["v3", "latest", "a b", ""])
def test_an_alias_that_mlflow_cannot_keep_is_an_error(
    ready: Home, register: Callable[..., str], alias: str
) -> None:
    version = register(auc=0.7)
    with pytest.raises(UsageError):
        steps.promote(version, alias=alias, gate="")
    assert catalog.history(ready.tracking_uri, "delays") == []


@pytest.mark.parametrize(("given", "number"), [("champion", 1), (2, 2), ("2", 2)])
def test_aliases_and_numbers_are_resolved(
    ready: Home, register: Callable[..., str], given: str | int, number: int
) -> None:
    steps.promote(register(auc=0.7))
    register(auc=0.6)
    assert catalog.resolve(ready.tracking_uri, "delays", given) == (
        number,
        f"models:/delays/{number}",
    )


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("delay", "champion", "There is no registered model 'delay'.|Did you mean 'delays'?"),
        (
            "delays",
            "champoin",
            "The model 'delays' has no alias 'champoin'.|Did you mean 'champion'?",
        ),
        ("delays", 9, "The model 'delays' has no version 9.|There is: 1."),
    ],
)
def test_what_cannot_be_resolved_names_near_misses(
    ready: Home, register: Callable[..., str], name: str, given: str | int, text: str
) -> None:
    steps.promote(register(auc=0.7))
    with pytest.raises(UsageError) as caught:
        catalog.resolve(ready.tracking_uri, name, given)
    assert f"{caught.value.what}|{caught.value.hint}" == text


def test_an_empty_registry_is_empty(ready: Home) -> None:
    assert catalog.models(ready.tracking_uri) == []
    with pytest.raises(UsageError) as caught:
        catalog.versions(ready.tracking_uri, "delays")
    assert caught.value.hint == "The registry is empty: run a pipeline that registers."
