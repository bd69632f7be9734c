"""The registry as people look at it: models, versions, where they come from, promotions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.core.errors import UsageError, did_you_mean
from headrace.registry.lineage import DatasetSource
from headrace.registry.tracking import connect, foreign_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.entities.model_registry import RegisteredModel as MlflowModel

DIGEST_TAG = "headrace.digest"
RUN_TAG = "headrace.run"
PIPELINE_TAG = "headrace.pipeline"
SOURCE_TAG = "headrace.source"
STEP_TAG = "headrace.step"
STEPS_TAG = "headrace.steps"
PARENT_TAG = "headrace.mlflow_run"
CODE_TAG = "headrace.code_digest"
GIT_TAG = "headrace.git"
DATASETS_TAG = "headrace.datasets"
METRICS_TAG = "headrace.metrics"
KIND_TAG = "headrace.kind"
PROMOTION_TAG = "headrace.promotion."
_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """A name in the registry."""

    name: str
    """The name."""
    latest: int | None
    """Its newest version; None when it has none."""
    count: int
    """How many versions it has."""
    aliases: Mapping[str, int]
    """Which version each alias stands for."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a registered model."""

    name: str
    """The model's name."""
    version: int
    """Its number, from 1."""
    aliases: tuple[str, ...]
    """The aliases that stand for it."""
    created: float
    """When it was registered, in unix seconds."""
    digest: str
    """`sha256:...` of its content; empty when it was not registered by Headrace."""
    run: str
    """The pipeline run that made it; empty likewise."""
    metrics: Mapping[str, float]
    """Its figures when it was registered."""

    @property
    def uri(self) -> str:
        """`models:/NAME/VERSION`."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True, kw_only=True)
class VersionLineage:
    """Where a version comes from."""

    version: Version
    """The version."""
    pipeline: str
    """Name of the pipeline that made it."""
    source: str
    """That pipeline's path, as its user gave it."""
    step: str
    """The step that made the model."""
    steps: tuple[str, ...]
    """All steps on the way to it."""
    code_digest: str
    """Digest of the project's code."""
    git: Mapping[str, Any]
    """`commit`, `branch`, `dirty`; empty outside of a repository."""
    datasets: tuple[DatasetSource, ...]
    """Every dataset on the way to it."""
    mlflow_run: str
    """MLflow's run of the step that made it."""
    mlflow_parent: str
    """MLflow's run of the pipeline run."""


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A decision about an alias."""

    time: str
    """When, in UTC: `2026-01-31T12:00:00.123456Z`."""
    name: str
    """The model."""
    version: int
    """The version that asked for the alias."""
    alias: str
    """The alias."""
    promoted: bool
    """Whether it got it."""
    gate: str
    """The gate's expression; empty for none."""
    reasons: tuple[str, ...]
    """The comparisons that decided."""
    figures: Mapping[str, float]
    """The value of every name in the gate."""
    champion: int | None
    """The version that held the alias before; None when there was none."""
    basis: str
    """How the champion's figures came about; empty when none were used."""
    run: str
    """The pipeline run; empty outside of one."""
    user: str
    """Who ran it."""


def models(tracking_uri: str) -> list[RegisteredModel]:
    """All registered models, by name."""
    client = connect(tracking_uri)
    with foreign_errors("list the registered models", tracking_uri):
        counts: dict[str, list[int]] = {}
        for one in _search(client.search_model_versions, ""):
            counts.setdefault(one.name, []).append(int(one.version))
        return [
            RegisteredModel(
                name=one.name,
                latest=max(counts.get(one.name, []), default=None),
                count=len(counts.get(one.name, [])),
                aliases={alias: int(number) for alias, number in sorted(one.aliases.items())},
            )
            for one in sorted(_search(client.search_registered_models, ""), key=lambda m: m.name)
        ]


def versions(tracking_uri: str, name: str) -> list[Version]:
    """A model's versions, the newest first.

    Raises:
        UsageError: There is no such model (near misses are named).
    """
    client = connect(tracking_uri)
    with foreign_errors(f"list the versions of {name}", tracking_uri):
        model = _model(client, name)
        found = [_version(one, model) for one in mlflow_versions(client, name)]
    return sorted(found, key=lambda one: -one.version)


def lineage(tracking_uri: str, name: str, version: int | str) -> VersionLineage:
    """Where a version, given by number or alias, comes from.

    Raises:
        UsageError: There is no such model or version (near misses are named).
    """
    number, _ = resolve(tracking_uri, name, version)
    client = connect(tracking_uri)
    with foreign_errors(f"read version {number} of {name}", tracking_uri):
        found = client.get_model_version(name, str(number))
        tags = found.tags
        return VersionLineage(
            version=_version(found, _model(client, name)),
            pipeline=tags.get(PIPELINE_TAG, ""),
            source=tags.get(SOURCE_TAG, ""),
            step=tags.get(STEP_TAG, ""),
            steps=tuple(_json(tags, STEPS_TAG, [])),
            code_digest=tags.get(CODE_TAG, ""),
            git=_json(tags, GIT_TAG, {}),
            datasets=tuple(DatasetSource(**one) for one in _json(tags, DATASETS_TAG, [])),
            mlflow_run=found.run_id or "",
            mlflow_parent=tags.get(PARENT_TAG, ""),
        )


def history(tracking_uri: str, name: str) -> list[Promotion]:
    """Every decision about the model's aliases, the oldest first.

    Raises:
        UsageError: There is no such model (near misses are named).
    """
    client = connect(tracking_uri)
    with foreign_errors(f"read the promotions of {name}", tracking_uri):
        _model(client, name)
        found = [
            parse_promotion(text)
            for one in mlflow_versions(client, name)
            for tag, text in one.tags.items()
            if tag.startswith(PROMOTION_TAG)
        ]
    return sorted(found, key=lambda one: one.time)


def resolve(tracking_uri: str, name: str, alias_or_version: int | str) -> tuple[int, str]:
    """The version that an alias or a number means now, and its URI `models:/NAME/VERSION`.

    Raises:
        UsageError: There is no such model, alias or version (near misses are named).
    """
    wanted = str(alias_or_version)
    client = connect(tracking_uri)
    with foreign_errors(f"find {wanted} of {name}", tracking_uri):
        model = _model(client, name)
        if not wanted.isdigit():
            if wanted not in model.aliases:
                raise UsageError(
                    f"The model {name!r} has no alias {wanted!r}.",
                    where=tracking_uri,
                    hint=did_you_mean(wanted, model.aliases)
                    or "promote a version first: it has no alias at all",
                )
            wanted = str(model.aliases[wanted])
        known = sorted(int(one.version) for one in mlflow_versions(client, name))
    if int(wanted) not in known:
        raise UsageError(
            f"The model {name!r} has no version {wanted}.",
            where=tracking_uri,
            hint=f"There is: {', '.join(map(str, known))}." if known else "It has no version yet.",
        )
    return int(wanted), f"models:/{name}/{wanted}"


def find_alias(tracking_uri: str, name: str, alias: str) -> int | None:
    """The version that an alias stands for; None when the model or the alias is not there."""
    client = connect(tracking_uri)
    with foreign_errors(f"look up {alias} of {name}", tracking_uri):
        model = find_model(client, name)
    return int(model.aliases[alias]) if model is not None and alias in model.aliases else None


def find_model(client: MlflowClient, name: str) -> MlflowModel | None:
    """MLflow's registered model of that name, its aliases included; None when there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def mlflow_versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """All of MLflow's versions of a model."""
    return _search(client.search_model_versions, f"name = '{_quoted(name)}'")


def version_metrics(tags: Mapping[str, str]) -> dict[str, float]:
    """The figures that a version's tags hold."""
    return dict(_json(tags, METRICS_TAG, {}))


def parse_promotion(text: str) -> Promotion:
    """The decision that a promotion's tag holds."""
    found = json.loads(text)
    return Promotion(**{**found, "reasons": tuple(found["reasons"])})


def _model(client: MlflowClient, name: str) -> MlflowModel:
    found = find_model(client, name)
    if found is not None:
        return found
    known = [one.name for one in _search(client.search_registered_models, "")]
    raise UsageError(
        f"There is no registered model {name!r}.",
        hint=did_you_mean(name, known) or "The registry is empty: run a pipeline that registers.",
    )


def _version(found: ModelVersion, model: MlflowModel) -> Version:
    number = int(found.version)
    return Version(
        name=found.name,
        version=number,
        aliases=tuple(sorted(one for one, at in model.aliases.items() if int(at) == number)),
        created=found.creation_timestamp / 1000,
        digest=found.tags.get(DIGEST_TAG, ""),
        run=found.tags.get(RUN_TAG, ""),
        metrics=version_metrics(found.tags),
    )


def _search(search: Any, condition: str) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = search(filter_string=condition, max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _quoted(name: str) -> str:
    # MLflow's filters have no escape; a name with a quote would end the string early.
    if "'" in name:
        raise UsageError(f"The name {name!r} holds a quote, which MLflow cannot search for.")
    return name


def _json(tags: Mapping[str, str], tag: str, default: Any) -> Any:
    try:
        return json.loads(tags[tag])
    except (KeyError, ValueError):
        return default
