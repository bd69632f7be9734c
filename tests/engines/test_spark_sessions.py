"""A Spark session as a step gets it, for real."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.engines.java import find_java

pytestmark = pytest.mark.engine

PROGRAM = """
import json, os, sys
from pathlib import Path

from headrace.engines.spark import SparkSpec, explain, local_session

said = {}
scratch = Path(sys.argv[1])
spec = SparkSpec(executors=2, memory="512m", conf={"spark.sql.shuffle.partitions": "3"})
try:
    with local_session(spec, app="run/step", scratch=scratch) as spark:
        get = spark.conf.get
        said["settings"] = {
            key: spark.sparkContext.getConf().get(key)
            for key in ("spark.app.name", "spark.driver.memory", "spark.ui.enabled")
        } | {key: get(key) for key in ("spark.sql.shuffle.partitions",
                                       "spark.sql.session.timeZone")}
        runtime = spark.sparkContext._jvm.java.lang.Runtime.getRuntime()
        said["heap"] = runtime.maxMemory() // 2**20
        said["sum"] = spark.range(1000).repartition(4).selectExpr("sum(id)").first()[0]
        spark.range(100_000).repartition(5).sort("id").write.parquet(str(scratch / "out"))
        udf = spark.udf.register("twice", lambda x: 2 * x, "long")
        said["udf"] = spark.range(3).selectExpr("sum(twice(id))").first()[0]
        spark.range(3).select("ids")
except Exception as error:
    said["error"] = explain(error)
from pyspark.sql import SparkSession
said["active"] = SparkSession.getActiveSession() is not None
print("SAID" + json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What a process said that opened a session, used it and broke it."""
    import json

    folder = tmp_path_factory.mktemp("spark")
    environment = {**os.environ, "JAVA_HOME": str(find_java().home), "MARK_OF_TEST": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], env=environment, cwd=folder,
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    print(done.stderr)
    line = next(one for one in done.stdout.splitlines() if one.startswith("SAID"))
    return {**json.loads(line.removeprefix("SAID")), "folder": folder}


def test_the_session_is_as_asked_for(said):
    assert said["settings"] == {
        "spark.app.name": "run/step",
        "spark.driver.memory": "512m",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "3",
        "spark.sql.session.timeZone": "UTC",
    }
    assert 400 < said["heap"] <= 512
    assert (said["sum"], said["udf"]) == (499500, 6)


def test_a_missing_column_is_told_in_one_short_text(said):
    text = said["error"]
    assert text.startswith("[UNRESOLVED_COLUMN.WITH_SUGGESTION]")
    assert "`ids`" in text and "[`id`]" in text
    assert len(text.splitlines()) == 1 and len(text) < 300


def test_nothing_runs_on_and_nothing_lies_outside_the_scratch_folder(said):
    assert said["active"] is False
    assert "spark-warehouse" not in os.listdir(said["folder"])
    assert "metastore_db" not in os.listdir(said["folder"])
    deadline = time.monotonic() + 20  # the JVM ends when it sees that Python is gone
    while left := processes_of(said["folder"]):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def processes_of(folder):
    mark = f"MARK_OF_TEST={folder}".encode()
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (one / "environ").read_bytes():
                found.append((one / "cmdline").read_bytes())
        except OSError:
            continue
    return found
