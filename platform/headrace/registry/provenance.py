"""What a version says of where it comes from, also if its run's journal was out of reach when it
was registered: under Kubeflow Pipelines a step does not know what was before it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.states import State
from headrace.registry import catalog
from headrace.registry.lineage import Lineage, trace
from headrace.sites.journal import Event

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SCHEME = "models:/"


def lineage_tags(lineage: Lineage, *, parent: str) -> dict[str, str]:
    """A version's tags that lead back to what made it.

    Args:
        lineage: What is known.
        parent: MLflow's run of the pipeline run; empty if there is none.
    """
    tags = {
        catalog.RUN_TAG: lineage.run,
        catalog.PIPELINE_TAG: lineage.pipeline,
        catalog.SOURCE_TAG: lineage.source,
        catalog.STEP_TAG: lineage.step,
        catalog.STEPS_TAG: json.dumps(lineage.steps),
        catalog.CODE_TAG: lineage.code_digest,
        catalog.GIT_TAG: json.dumps(dict(lineage.git)) if lineage.git else "",
        catalog.DATASETS_TAG: lineage.datasets_text,
        catalog.PARENT_TAG: parent,
    }
    return {name: text for name, text in tags.items() if text not in ("", "[]", "{}")}


def complete(client: MlflowClient, event: Event, *, folder: Path, parent: str) -> None:
    """Have a version that a step has registered say all that the run's journal knows.

    What it says already stays: the same content may have been registered by an earlier run.

    Args:
        client: MLflow.
        event: A step's end.
        folder: The run's folder.
        parent: MLflow's run of the pipeline run.
    """
    uri = str(event.get("outputs", {}).get("parameters", {}).get("version", ""))
    models = event.get("inputs", {}).get("model") or []
    name, _, number = uri.removeprefix(_SCHEME).rpartition("/")
    ended_well = event.get("state") == State.SUCCEEDED
    if not (ended_well and models and name and uri.startswith(_SCHEME) and number.isdigit()):
        return
    found = client.get_model_version(name, number)
    lineage = trace(folder, str(models[0]["uri"]))
    if catalog.STEPS_TAG in found.tags or found.tags.get(catalog.RUN_TAG) != lineage.run:
        return
    for key, text in lineage_tags(lineage, parent=parent).items():
        if key not in found.tags:
            client.set_model_version_tag(name, number, key, text)
