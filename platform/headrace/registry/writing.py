"""What is written about one MLflow run, in as few transactions as it takes."""

from __future__ import annotations

import errno
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.states import State
from headrace.registry import entities
from headrace.registry.attachments import LARGEST_BYTES, Attachment, attachments
from headrace.sites.journal import Event

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_PER_BATCH = 100
_METRICS_PER_BATCH = 900
_LOG_TAIL_BYTES = 1024 * 1024


def log(
    client: MlflowClient,
    run_id: str,
    *,
    metrics: list[Metric] | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    """Write metrics and tags: in one transaction unless there are very many."""
    from mlflow.entities import RunTag

    run_tags = [RunTag(*pair) for pair in (tags or {}).items()]
    tag_batches = list(entities.chunks(run_tags, _PER_BATCH)) or [[]]
    metric_batches = list(entities.chunks(metrics or [], _METRICS_PER_BATCH)) or [[]]
    client.log_batch(run_id, metrics=metric_batches[0], tags=tag_batches[0])
    for batch in tag_batches[1:]:
        client.log_batch(run_id, tags=batch)
    for batch in metric_batches[1:]:
        client.log_batch(run_id, metrics=batch)


def log_parameters(client: MlflowClient, run_id: str, event: Event) -> None:
    """Write an event's parameters. What the step's own code logged before us stays."""
    from mlflow.entities import Param
    from mlflow.exceptions import MlflowException

    values = entities.parameters(event.get("parameters") or {})
    for batch in entities.chunks(values.items(), _PER_BATCH):
        try:
            client.log_batch(run_id, params=[Param(*pair) for pair in batch])
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            there = client.get_run(run_id).data.params
            rest = [Param(*pair) for pair in batch if pair[0] not in there]
            client.log_batch(run_id, params=rest)


def log_datasets(client: MlflowClient, run_id: str, event: Event, side: str) -> None:
    """Write the datasets on one `side` ("inputs" or "outputs") of an event, none of them read."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    used = [
        DatasetInput(
            Dataset(
                name=use.name,
                digest=use.digest,
                source_type="local",
                source=json.dumps({"uri": use.uri}),
                profile=use.profile,
            ),
            [
                InputTag("mlflow.data.context", use.context),
                InputTag("headrace.digest", use.full_digest or "none"),
            ],
        )
        for use in entities.datasets(event, side)
    ]
    if used:
        client.log_inputs(run_id, used)


def attach(client: MlflowClient, run_id: str, event: Event, *, log_file: Path | None) -> None:
    """Put a finished step's plots and reports beside its run, and a failed step's log.

    Args:
        client: MLflow.
        run_id: The step's MLflow run.
        event: Its `step_finished`.
        log_file: The step's log.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        for name, artifact in entities.output_artifacts(event):
            for one in attachments(name, artifact):
                _attach_one(client, run_id, one, Path(folder))
        if event["state"] == State.FAILED and log_file is not None and log_file.is_file():
            content = _end_of(log_file)
            log_copy = Attachment(name="log.txt", path=None, content=content)
            _attach_one(client, run_id, log_copy, Path(folder))


def _attach_one(client: MlflowClient, run_id: str, one: Attachment, folder: Path) -> None:
    file = folder / one.name
    file.parent.mkdir(parents=True, exist_ok=True)
    below = str(Path(one.name).parent)
    try:
        if one.path is not None:
            file.symlink_to(one.path.absolute())
        else:
            file.write_bytes(one.content)
        client.log_artifact(run_id, str(file), below if below != "." else None)
    except OSError as error:
        # A plot that has gone or may not be read is not worth the record; a full disk is.
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise


def metric_entities(values: Event, moment: float, index: int) -> list[Metric]:
    """The numbers among `values` as MLflow's metrics, logged at `moment` for step `index`."""
    from mlflow.entities import Metric

    return [
        Metric(name, value, entities.milliseconds(moment), index)
        for name, value in entities.metrics(values).items()
    ]


def _end_of(log_file: Path) -> bytes:
    size = log_file.stat().st_size
    with log_file.open("rb") as file:
        file.seek(size - _LOG_TAIL_BYTES if size > LARGEST_BYTES else 0)
        return file.read()
