"""What a run achieved, found in its steps' outputs: versions, decisions, endpoints, figures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.cli.view import RunView, StepView
from headrace.core.states import State

OURS = "headrace"
"""The engine of ready components."""

_VERSION = re.compile(r"models:/(?P<name>[^/@]+)/(?P<version>\d+)$")


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A version that the run put into the registry."""

    name: str
    """The registered model."""
    version: str
    """The number, as text."""

    @property
    def uri(self) -> str:
        """What MLflow's clients take."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a gate said."""

    promoted: bool
    """Whether the alias moved."""
    alias: str
    """The alias at stake."""
    model: str
    """`NAME/VERSION`, the version that asked for it."""
    gate: str
    """The expression; empty for none."""
    reasons: tuple[str, ...]
    """The comparisons that decided, with their figures."""
    figures: Mapping[str, Any]
    """The value of each name in the gate."""
    champion: int | None
    """The version that held the alias before; None if there was none."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A model server that the run started or rolled over."""

    url: str
    """Where it answers."""
    model: str
    """The model's name as it was asked for."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A step's metrics, sorted for a reader."""

    step: str
    """The step's name."""
    own: Mapping[str, float]
    """The model's own figures, in the order they were written."""
    others: Mapping[str, float]
    """The first of `own` as each rival reached it, the champion before the baselines."""


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Everything that a summary tells besides the steps."""

    versions: tuple[ModelVersion, ...]
    """In the order in which they were registered."""
    decisions: tuple[Decision, ...]
    """In the order in which they fell."""
    endpoints: tuple[Endpoint, ...]
    """In the order in which they opened."""
    figures: tuple[Figures, ...]
    """Of each step that has some, in the order of the steps."""


def outcomes(view: RunView) -> Outcomes:
    """What the run's steps achieved. A reused step counts: its result stands in this run too."""
    good = [step for step in view.steps if step.state.good]
    judged = [step for step in view.steps if step.state.good or step.state is State.FAILED]
    versions = [version for step in good for version in step_versions(step)]
    return Outcomes(
        versions=tuple(dict.fromkeys(versions)),
        decisions=tuple(filter(None, map(decision, judged))),
        endpoints=tuple(filter(None, map(endpoint, good))),
        figures=tuple(filter(None, map(figures, good))),
    )


def step_versions(step: StepView) -> Iterator[ModelVersion]:
    """The registry versions among a step's outputs."""
    for value in step.outputs.values():
        if isinstance(value, str) and (match := _VERSION.match(value)):
            yield ModelVersion(name=match["name"], version=match["version"])


def decision(step: StepView) -> Decision | None:
    """The decision of a promotion step, or None for any other step."""
    found = _mapping(step.outputs.get("decision"))
    if "promoted" not in found or "alias" not in found:
        return None
    champion = found.get("champion")
    return Decision(
        promoted=bool(found["promoted"]),
        alias=str(found["alias"]),
        model=f"{found.get('name', '')}/{found.get('version', '')}",
        gate=str(found.get("gate") or ""),
        reasons=tuple(map(str, found.get("reasons") or ())),
        figures=_mapping(found.get("figures")),
        champion=None if champion is None else int(champion),
    )


def endpoint(step: StepView) -> Endpoint | None:
    """The endpoint that a serving step gave, or None for any other step."""
    model = step.parameters.get("model")
    if step.engine != OURS or not isinstance(model, str):
        return None
    urls = (one for one in step.outputs.values() if str(one).startswith("http"))
    return next((Endpoint(url=str(url).rstrip("/"), model=model) for url in urls), None)


def figures(step: StepView) -> Figures | None:
    """A step's metrics: its own apart from its rivals' (`champion.auc`), or None."""
    own = {key: value for key, value in step.metrics.items() if "." not in key}
    if not own:
        return None
    first = next(iter(own))
    rivals = {
        key.removesuffix(f".{first}"): value
        for key, value in step.metrics.items()
        if key.endswith(f".{first}")
    }
    champion_first = dict(sorted(rivals.items(), key=lambda pair: pair[0] != "champion"))
    return Figures(step=step.name, own=own, others=champion_first)


def _mapping(value: Any) -> Mapping[str, Any]:
    """A struct parameter, which travels as JSON text through some of KFP's doors."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}
