"""KFP's importer: something that lies somewhere becomes an artifact, without a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.errors import StepFailed
from headrace.running.artifacts import Artifact, Outputs, content_digest
from headrace.running.placeholders import fill


def run(importer: Mapping[str, Any], inputs: Outputs) -> Outputs:
    """The imported artifact, under the output `artifact`.

    Raises:
        StepFailed: The URI is a path of this machine and nothing is there.
    """
    source = importer["artifactUri"]
    # The task's own input is right in all cases; KFP's compiler does not fill in the constant.
    uri = inputs.parameters.get(source.get("runtimeParameter", "uri")) or source["constant"]
    schema = importer.get("typeSchema", {})
    artifact = Artifact(
        name="artifact",
        type=schema.get("schemaTitle", "system.Artifact"),
        uri=str(uri).removeprefix("file://"),
        metadata=fill(importer.get("metadata", {}), {}, inputs.parameters),
    )
    digest = content_digest(artifact.path) if artifact.path else None
    if artifact.path and digest is None:
        raise StepFailed(
            f"There is nothing to import at {uri!r}.",
            where=str(artifact.path.resolve()),
            hint="relative paths start where `headrace run` was called",
        )
    return Outputs(artifacts={"artifact": [Artifact(**{**vars(artifact), "digest": digest})]})
