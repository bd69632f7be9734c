"""An alias moves to a version, if a gate says so; every decision is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headrace.core.errors import GateFailed, UsageError
from headrace.registry import catalog
from headrace.registry.catalog import Promotion
from headrace.registry.context import Context
from headrace.registry.entities import user
from headrace.registry.gates import CHAMPION, decide
from headrace.registry.registering import registry_lock
from headrace.registry.tracking import connect, foreign_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

_VERSION_URI = re.compile(r"models:/(?P<name>[^/@]+)/(?P<version>\d+)")
_ALIAS = re.compile(r"[A-Za-z][\w-]*", re.ASCII)
_VERSION_LIKE = re.compile(r"latest|v\d+", re.IGNORECASE)
_SAME_DATA = "measured on the same data"
_OWN_DATA = "measured when it was registered"


def promote_version(version: str, *, alias: str, gate: str, context: Context) -> Promotion:
    """Give `alias` to a version if `gate` lets it.

    A version that holds the alias already keeps it: nothing is decided or recorded.

    Args:
        version: `models:/NAME/VERSION`.
        alias: The alias.
        gate: An expression on figures; empty for none.
        context: The step's surroundings.

    Raises:
        GateFailed: The gate said no. That is recorded too.
        UsageError: No such version, or a gate that cannot be decided.
    """
    match = _VERSION_URI.fullmatch(version.strip())
    if match is None:
        raise UsageError(
            f"A version was expected, as models:/NAME/VERSION, and not {version!r}.",
            hint="hand on register's output: version=registered.outputs['version']",
        )
    check_alias(alias)
    name = match["name"]
    number, _ = catalog.resolve(context.tracking_uri, name, match["version"])
    client = connect(context.tracking_uri)
    with foreign_errors(f"promote {version}", context.tracking_uri), registry_lock(context):
        decision = _decide(client, name, number, alias=alias, gate=gate, context=context)
        if decision.champion != number:
            _record(client, decision)
            if decision.promoted:
                client.set_registered_model_alias(name, alias, str(number))
    if not decision.promoted:
        raise _gate_failed(decision)
    return decision


def check_alias(alias: str) -> None:
    """See that `alias` can be one.

    Raises:
        UsageError: It cannot.
    """
    if not _ALIAS.fullmatch(alias) or _VERSION_LIKE.fullmatch(alias):
        raise UsageError(
            f"An alias cannot be called {alias!r}.",
            hint="begin with a letter; 'latest' and names like 'v3' mean versions already",
        )


def _decide(
    client: MlflowClient, name: str, number: int, *, alias: str, gate: str, context: Context
) -> Promotion:
    champion = catalog.find_alias(context.tracking_uri, name, alias)
    figures, basis = _figures(client, name, number, champion)
    verdict = decide(gate, figures, champion=champion is not None)
    compared = any(one.startswith(CHAMPION) for one in verdict.figures)
    return Promotion(
        time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        name=name,
        version=number,
        alias=alias,
        promoted=verdict.passed or champion == number,
        gate=gate,
        reasons=("it holds the alias already",) if champion == number else verdict.reasons,
        figures=verdict.figures,
        champion=champion,
        basis=basis if compared else "",
        run=context.run,
        user=user(),
    )


def _figures(
    client: MlflowClient, name: str, number: int, champion: int | None
) -> tuple[dict[str, float], str]:
    """The figures that a gate may name, and how the champion's came about.

    The champion's are those measured beside the candidate's, on the same data, if it is that
    champion which was measured then; else those with which it was registered.
    """
    known = catalog.version_metrics(client.get_model_version(name, str(number)).tags)
    own = {one: value for one, value in known.items() if not one.startswith(CHAMPION)}
    if champion is None:
        return own, ""
    if known.get(f"{CHAMPION}version") == champion:
        return known, _SAME_DATA
    tags = client.get_model_version(name, str(champion)).tags
    return own | _as_champion(catalog.version_metrics(tags)), _OWN_DATA


def _as_champion(figures: Mapping[str, float]) -> dict[str, float]:
    return {
        f"{CHAMPION}{one}": value for one, value in figures.items() if not one.startswith(CHAMPION)
    }


def _record(client: MlflowClient, decision: Promotion) -> None:
    # A tag of its own for each decision: none is ever written over.
    tag = f"{catalog.PROMOTION_TAG}{decision.time}"
    client.set_model_version_tag(
        decision.name, str(decision.version), tag, json.dumps(asdict(decision))
    )


def _gate_failed(decision: Promotion) -> GateFailed:
    basis = f" (champion {decision.basis})" if decision.basis else ""
    return GateFailed(
        f"Version {decision.version} of {decision.name} did not pass the gate "
        f"{decision.gate!r}: {', '.join(decision.reasons)}{basis}.",
        where=f"models:/{decision.name}/{decision.version}",
        hint=f"version {decision.champion} remains the {decision.alias}"
        if decision.champion
        else f"no version is the {decision.alias}; improve the model or the gate",
    )
