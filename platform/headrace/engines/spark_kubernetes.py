"""A Spark session whose driver is the step's pod and whose executors are pods of their own.

No operator is needed: the driver asks Kubernetes for executors by itself. They belong to the
step's pod, so that they go when it goes, however that comes about.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.cluster import kinds
from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.errors import ClusterProblem, Unreachable
from headrace.data.store import Store
from headrace.engines import spark, spark_failures, spark_paths, spark_properties, spark_store
from headrace.engines.spark import SparkSpec
from headrace.engines.spark_properties import Driver
from headrace.engines.spark_watching import Watch
from headrace.sites.cluster import Site

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


_STARTS = 5
"""How often a session is started at most while the API server comes and goes."""
_DYING = 5.0
"""Seconds that a JVM which is being killed may need to be gone."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a step's session is opened."""

    site: Site
    """The site."""
    cluster: Cluster
    """The cluster, as the pod's service account."""
    store: Store
    """The site's store."""
    folder: str
    """The URI where the attempt's records and evidence go."""
    pod: Manifest
    """The step's pod."""
    app: str
    """The application's name."""
    labels: Mapping[str, str]
    """Labels of the executors."""
    annotations: Mapping[str, str]
    """Annotations of the executors."""
    note: Callable[[str], None]
    """Told what people should know while the step runs."""


@contextmanager
def cluster_session(
    spec: SparkSpec, place: Place, *, scratch: Path, code: Path | None
) -> Iterator[SparkSession]:
    """A Spark session in this pod; at the end, its executors are gone and their logs kept.

    Args:
        spec: What the step asks for.
        place: Where it is opened.
        scratch: A folder for temporary files.
        code: The folder with the project's code, which executors get as it is here.

    Raises:
        Explained: Something failed for a reason that Spark's own message does not tell.
    """
    driver = spark_properties.driver_of(place.pod)
    settings = _settings(spec, place, driver, scratch, code)
    watch = _watch(spec, place, driver, settings)
    session: SparkSession | None = None
    failed = True
    try:
        watch.start()
        session = _start(settings, place)
        watch.serve(session)
        yield session
        failed = False
    except Exception as error:
        found = spark_failures.explained(
            error,
            ends=watch.ends,
            given_up=watch.given_up,
            jvm=_exit_code(patience=_DYING if _is_lost(error) else 0),
            memory=watch.memory,
        )
        if found is None:
            raise
        raise found from error
    finally:
        watch.keep(failed=failed)
        if session is not None and _exit_code() is None:
            with suppress(Exception):  # what failed is told already
                session.stop()
        watch.remove()


def _start(settings: Mapping[str, str], place: Place) -> SparkSession:
    """A session. Spark gives up at once if the API server is silent while it starts: ask again."""
    for _ in range(_STARTS - 1):
        try:
            return spark.start(settings)
        except Exception as error:
            if not spark_failures.is_without_cluster(error):
                raise
        place.note("the cluster did not answer while Spark started; it is started again")
        place.cluster.ask("/version")  # waits until it answers, for as long as patience lasts
    return spark.start(settings)


def _settings(
    spec: SparkSpec, place: Place, driver: Driver, scratch: Path, code: Path | None
) -> dict[str, str]:
    template = scratch / "executor.json"
    template.write_text(json.dumps(spark_properties.pod_template(driver)))
    # Spark wants the folder for its event logs to be there.
    place.store.write(place.store.uri(*spark_store.EVENTS, ".keep"), b"")
    settings = spark_properties.cluster_settings(
        spec,
        driver=driver,
        site=place.site,
        app=place.app,
        scratch=scratch,
        records=place.folder,
        marks=place.labels,
        annotations=place.annotations,
        code=spark_paths.pack(code, scratch / "code.zip") if code else None,
    )
    return {"spark.kubernetes.executor.podTemplateFile": str(template), **settings}


def _watch(spec: SparkSpec, place: Place, driver: Driver, settings: Mapping[str, str]) -> Watch:
    app = settings["spark.app.id"]
    return Watch(
        cluster=place.cluster,
        store=place.store,
        folder=place.folder,
        selector=f"spark-app-selector={app},spark-role=executor",
        wanted=int(settings["spark.dynamicAllocation.maxExecutors"]),
        pending=place.site.limits.pending,
        note=place.note,
        refusal=lambda: refusal(place, driver, spec),
    )


def refusal(place: Place, driver: Driver, spec: SparkSpec) -> str:
    """Why the cluster makes no pod like an executor's; empty if it would make one.

    Spark tries again and again, and keeps the reason to its log.
    """
    pod = spark_properties.probe(driver, spec, place.site, place.labels)
    path = f"{kinds.path('pods', driver.namespace)}?dryRun=All"
    try:
        place.cluster.ask(path, method="POST", body=pod)
    except Unreachable:
        return ""
    except ClusterProblem as problem:
        return problem.what.rstrip(".")
    return ""


def empty(session: SparkSession, uris: Sequence[str]) -> None:
    """Remove what an earlier attempt left at the places of outputs, marks of folders as well.

    Spark would rather fail than add to it.
    """
    context = session.sparkContext
    jvm: Any = context._jvm
    for uri in uris:
        path = jvm.org.apache.hadoop.fs.Path(spark_paths.spark_uri(uri))
        path.getFileSystem(context._jsc.hadoopConfiguration()).delete(path, True)


def unmark(session: SparkSession, store: Store, uris: Sequence[str]) -> None:
    """Remove the empty objects that stand for folders below outputs.

    Kubeflow Pipelines' launcher would download the mark of a folder as a file of its name, and
    then not find room for what is in the folder.
    """
    context = session.sparkContext
    jvm: Any = context._jvm
    for uri in uris:
        marks = store.folder_marks(uri)
        if not marks:
            continue
        path = jvm.org.apache.hadoop.fs.Path(spark_paths.spark_uri(uri))
        files = path.getFileSystem(context._jsc.hadoopConfiguration())
        client = files.getS3AInternals().getAmazonS3Client("folder marks")
        request = jvm.software.amazon.awssdk.services.s3.model.DeleteObjectRequest
        for mark in marks:
            client.deleteObject(request.builder().bucket(files.getBucket()).key(mark).build())


def _is_lost(error: BaseException) -> bool:
    """Whether the error says that the JVM does not answer."""
    lost = type(error).__module__.startswith("py4j.") and "JavaError" not in type(error).__name__
    return lost or isinstance(error, ConnectionError)


def _exit_code(patience: float = 0) -> int | None:
    """How the driver's JVM ended; None while it lives, or was never there.

    Args:
        patience: Seconds for which to wait for its end.
    """
    from pyspark import SparkContext

    process: subprocess.Popen[bytes] | None = getattr(SparkContext._gateway, "proc", None)
    if process is not None and patience:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(patience)
    return None if process is None else process.poll()
