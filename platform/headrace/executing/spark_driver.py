"""A Spark step in a pod: its session, its artifacts' paths, and its failures' reasons."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headrace.engines import spark_failures, spark_kubernetes, spark_paths
from headrace.engines.spark import SparkSpec
from headrace.engines.spark_properties import EXECUTOR_ROLE
from headrace.executing import failures, reports
from headrace.executing.annotations import resolved_signature
from headrace.executing.context import context
from headrace.executing.surroundings import Surroundings


def run(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    spec: SparkSpec,
    *,
    session_parameter: str,
    around: Surroundings,
    scratch: Path,
) -> Any:
    """Call a Spark step's function with this pod as the driver, and return what it returns.

    Args:
        function: The user's plain function.
        arguments: Its inputs and outputs, as KFP's executor made them.
        spec: What the step asks for.
        session_parameter: The parameter that receives the session.
        around: The pod and what is around it.
        scratch: A folder for temporary files.
    """
    signature = resolved_signature(function, session=True)
    annotations = {name: one.annotation for name, one in signature.parameters.items()}
    given = spark_paths.for_spark(arguments, annotations)
    try:
        with (
            spark_kubernetes.cluster_session(
                spec, _place(around), scratch=scratch, code=code_of(function)
            ) as session,
            spark_paths.read_by_spark(given),
        ):
            outputs = _outputs(arguments, annotations)
            spark_kubernetes.empty(session, outputs)
            value = function(**{session_parameter: session}, **given)
            spark_kubernetes.unmark(session, around.store, outputs)
            return value
    except spark_failures.Explained as explained:
        assert explained.__cause__ is not None
        description = failures.describe(explained.__cause__)
        raise failures.Described(explained.over(description)) from explained.__cause__


def code_of(function: Callable[..., Any]) -> Path | None:
    """The folder that a function's module was imported from; None if it is in the image."""
    file = getattr(sys.modules.get(function.__module__), "__file__", None)
    if file is None or function.__module__ == "__main__" or failures.foreign(file):
        return None
    return spark_paths.code_root(function.__module__, file)


def _outputs(arguments: Mapping[str, Any], annotations: Mapping[str, Any]) -> list[str]:
    """Where in the store the step's outputs are to be."""
    from kfp.dsl.types import type_annotations as kinds

    found = [
        str(arguments[name].uri)
        for name, annotation in annotations.items()
        if hasattr(arguments.get(name), "uri") and kinds.is_artifact_wrapped_in_Output(annotation)
    ]
    return [one for one in found if one.startswith("s3://")]


def _place(around: Surroundings) -> spark_kubernetes.Place:
    return spark_kubernetes.Place(
        site=around.site,
        cluster=around.cluster,
        store=around.store,
        folder=around.folder,
        pod=around.pod,
        app=context().label if context().run else f"{around.run}/{around.step}",
        labels=around.labels(EXECUTOR_ROLE),
        annotations=around.annotations,
        note=reports.note,
    )
