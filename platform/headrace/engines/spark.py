"""The door to Spark: settings from a spec, a session from the settings, its errors in our words."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, kw_only=True)
class SparkSpec:
    """What a Spark step asks for. On one machine the executors are threads of the driver."""

    executors: int = 2
    """How many executors share the work; on one machine, at most one per core."""
    cores: int = 1
    """Cores of each executor."""
    memory: str = "2g"
    """Heap of each executor, and of the driver that stands for them on one machine."""
    conf: Mapping[str, str] = field(default_factory=dict)
    """Spark properties, as in `spark-defaults.conf`; they win over what Headrace sets."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for the compiled pipeline."""
        return asdict(self)


def local_settings(spec: SparkSpec, *, app: str, scratch: Path, cpus: int) -> dict[str, str]:
    """The Spark properties of a session on this machine.

    Args:
        spec: What the step asks for.
        app: The application's name.
        scratch: A folder for spills and the warehouse, removed with the step.
        cpus: Cores of this machine.
    """
    threads = max(1, min(cpus, spec.executors * spec.cores))
    settings = {
        "spark.app.name": app,
        "spark.master": f"local[{threads}]",
        "spark.driver.memory": spec.memory,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        # 200 partitions are for clusters; adaptive execution still splits skewed ones.
        "spark.sql.shuffle.partitions": str(threads * 2),
        "spark.sql.session.timeZone": "UTC",
        "spark.log.level": "WARN",
    }
    return settings | dict(spec.conf)


@contextmanager
def local_session(spec: SparkSpec, *, app: str, scratch: Path) -> Iterator[SparkSession]:
    """A Spark session on this machine, stopped at the end whatever happens."""
    session = start(local_settings(spec, app=app, scratch=scratch, cpus=os.cpu_count() or 1))
    try:
        yield session
    finally:
        session.stop()


def start(settings: Mapping[str, str]) -> SparkSession:
    """A session with these properties, in a JVM of its own."""
    # The driver's heap is fixed when its JVM starts, before any property is read.
    heap = settings.get("spark.driver.memory")
    memory = f"--driver-memory {heap} " if heap else ""
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"{memory}pyspark-shell"
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    builder: Any = SparkSession.builder
    for key, value in settings.items():
        builder = builder.config(key, value)
    session: SparkSession = builder.getOrCreate()
    return session


def explain(error: BaseException) -> str | None:
    """A Spark error in one short text, or None if the error is not Spark's.

    Spark's messages carry the logical plan or the JVM's stack behind the first lines;
    the log keeps all of it.
    """
    if not type(error).__module__.startswith(("pyspark.", "py4j.")):
        return None
    text = str(error).split("JVM stacktrace:")[0].strip()
    if failed := _TASK_FAILED.search(text):
        reason = _worker_error(text) or _CLASS.sub("", failed["reason"]).strip()
        return f"a task of stage {failed['stage']} failed {failed['times']}: {reason}"
    return _worker_error(text) or _beginning(text)


_TASK_FAILED = re.compile(
    r"Task \S+ in stage (?P<stage>\d+)\S* failed (?P<times>\d+ times?), most recent failure: "
    r"[^(]*\(TID \d+\) \([^)]*\): (?P<reason>.*)"
)
_CLASS = re.compile(r"^([a-z]\w*\.)+(?=[A-Z]\w*(Error|Exception|Failure))")
_FRAME = re.compile(
    r'^  File "(?P<file>.*)", line (?P<line>\d+), in (?P<function>.*)$', re.MULTILINE
)


def _worker_error(text: str) -> str:
    """The exception of a task's Python code and where it was raised; empty if it was no such."""
    _, found, trace = text.partition("Traceback (most recent call last):\n")
    frames = list(_FRAME.finditer(trace))
    if not found or not frames:
        return ""
    after = trace[frames[-1].end() :].splitlines()
    raised = next((one for one in after if one and not one.startswith(" ")), "")
    last = frames[-1]
    return f"{raised} ({last['file']}:{last['line']} in {last['function']}, in a Python worker)"


def _beginning(text: str) -> str:
    kept = [
        line.rstrip()
        for line in text.splitlines()
        if not line.lstrip().startswith(("'", "+-", ":-", "at ", "An error occurred while calling"))
    ]
    return "\n".join(kept[:4]).removeprefix(": ")
