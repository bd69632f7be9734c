"""A model becomes a version in the registry, with all that leads back to where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.core.errors import UsageError
from headrace.registry import catalog
from headrace.registry.attachments import local_path
from headrace.registry.context import Context, RecordedRuns
from headrace.registry.digests import model_digest
from headrace.registry.kinds import ModelKind, difference, parse_kind, read_kind
from headrace.registry.lineage import Lineage, trace
from headrace.registry.locking import locked
from headrace.registry.predicting import check_model_folder
from headrace.registry.provenance import lineage_tags
from headrace.registry.scores import task_of
from headrace.registry.tracking import as_default, connect, database_of, foreign_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

_LOCK_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What became of a model."""

    name: str
    """The registered model."""
    version: int
    """The version."""
    created: bool
    """False when the same content had been registered before and its version stands in."""

    @property
    def uri(self) -> str:
        """`models:/NAME/VERSION`."""
        return f"models:/{self.name}/{self.version}"


def register_model(
    folder: Path,
    name: str,
    *,
    context: Context,
    model_uri: str = "",
    metrics: Mapping[str, object] | None = None,
) -> Registration:
    """Register the model in `folder`, or find the version that has this content already.

    MLflow keeps a copy of its own, so that cleaning up runs takes nothing from the registry.

    Args:
        folder: A model in MLflow's format.
        name: The registered model's name; made when it is new.
        context: The step's surroundings.
        model_uri: The artifact's URI, by which its lineage is found; the folder unless given.
        metrics: Figures to keep with the version, besides those that its run has for it.

    Raises:
        UsageError: Not a model, or the name stands for another kind of model.
        EnvironmentProblem: The registry cannot be reached or written.
    """
    check_model_folder(folder)
    check_name(name)
    run_folder = context.run_folder
    known = Lineage(run=context.run, pipeline=context.pipeline)
    lineage = trace(run_folder, model_uri or str(folder)) if run_folder else known
    figures = {**lineage.metrics, **_numbers(metrics or {})}
    kind = read_kind(folder, task_of(figures))
    digest = model_digest(folder)
    client = connect(context.tracking_uri)
    runs = context.recorded_runs(lineage.step)
    uri = context.tracking_uri
    with foreign_errors(f"register {name}", uri), registry_lock(context), as_default(uri):
        model = catalog.find_model(client, name)
        if model is None:
            _create_name(client, name)
        else:
            _check_kind(client, model, kind)
            for one in catalog.mlflow_versions(client, name):
                if one.tags.get(catalog.DIGEST_TAG) == digest:
                    return Registration(name=name, version=int(one.version), created=False)
        tags = _tags(lineage, figures, kind, digest, runs)
        version = _create_version(client, folder, name, tags, lineage, runs)
        return Registration(name=name, version=version, created=True)


def check_name(name: str) -> None:
    """See that `name` can be a registered model's.

    Raises:
        UsageError: It cannot.
    """
    if not name.strip() or set(name) & set("/:.%\"'@"):
        raise UsageError(
            f"A registered model cannot be called {name!r}.",
            hint="use letters, digits, dashes and underscores, such as flight-delays",
        )


def registry_lock(context: Context) -> Any:
    """Held while something is looked up and then written, so that two runs take turns."""
    database_file = database_of(context.tracking_uri)
    if database_file is None:
        return nullcontext()
    lock = database_file.with_name(f"{database_file.name}.registry.lock")
    return locked(lock, wait=_LOCK_SECONDS)


def _numbers(values: Mapping[str, object]) -> dict[str, float]:
    return {name: float(one) for name, one in values.items() if isinstance(one, int | float)}


def _create_name(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        # No model, and yet in use: MLflow keeps prompts under the same names.
        raise UsageError(
            f"The name {name!r} is in use for a prompt.", hint="register under another name"
        ) from error


def _check_kind(client: MlflowClient, model: RegisteredModel, kind: ModelKind) -> None:
    versions = catalog.mlflow_versions(client, model.name)
    if not versions:
        return
    newest = max(versions, key=lambda one: int(one.version))
    text = newest.tags.get(catalog.KIND_TAG)
    known = parse_kind(text) if text else _foreign_kind(client, model.name, newest.version)
    how = difference(kind, known) if known else ""
    if how:
        raise UsageError(
            f"The name {model.name!r} is in use by another kind of model: {how}.",
            where=f"models:/{model.name}/{newest.version}",
            hint="register under another name",
        )


def _foreign_kind(client: MlflowClient, name: str, version: str) -> ModelKind | None:
    """The kind of a version that was not registered here; None when its files are not at hand."""
    folder = local_path(client.get_model_version_download_uri(name, str(version)))
    if folder is None or not (folder / "MLmodel").is_file():
        return None
    return read_kind(folder, None)


def _tags(
    lineage: Lineage,
    figures: Mapping[str, float],
    kind: ModelKind,
    digest: str,
    runs: RecordedRuns | None,
) -> dict[str, str]:
    tags = {
        catalog.DIGEST_TAG: digest,
        catalog.KIND_TAG: kind.text,
        catalog.METRICS_TAG: json.dumps(figures) if figures else "",
    }
    told = lineage_tags(lineage, parent=runs.run_id if runs else "")
    return {name: text for name, text in tags.items() if text} | told


def _create_version(
    client: MlflowClient,
    folder: Path,
    name: str,
    tags: dict[str, str],
    lineage: Lineage,
    runs: RecordedRuns | None,
) -> int:
    from mlflow.entities import LoggedModelOutput

    run_id = runs.steps.get(lineage.step) if runs else None
    logged = client.create_logged_model(
        runs.experiment_id if runs else "0", name=name, source_run_id=run_id, tags=tags
    )
    try:
        client.log_model_artifacts(logged.model_id, str(folder))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    if run_id:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    made = client.create_model_version(
        name,
        source=f"models:/{logged.model_id}",
        run_id=run_id,
        tags=tags,
        description=_description(lineage),
        model_id=logged.model_id,
    )
    return int(made.version)


def _description(lineage: Lineage) -> str | None:
    if not lineage.step:
        return f"Made by the run `{lineage.run}` of {lineage.pipeline}." if lineage.run else None
    return f"Made by the step `{lineage.step}` of the run `{lineage.run}` of {lineage.pipeline}."
