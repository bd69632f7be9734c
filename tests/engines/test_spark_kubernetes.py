"""Spark steps in pods of a real cluster: what they read, write and ship, and what becomes of them
when something is killed."""

from __future__ import annotations

import json
import os
import urllib.request

import pytest
import yaml
from tests.engines import spark_pods
from tests.engines.spark_pods import PATIENCE, executors, finished, phase, step, until
from tests.site import S3_FOR_PODS, bucket, namespace

from headrace.cluster import labels
from headrace.cluster.forwarding import forward
from headrace.engines import spark_store
from headrace.engines.spark_executors import is_running
from headrace.sites.cluster import StoreSettings

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.timeout(1500)]

STEPS = """
from kfp.dsl import Dataset, Input, Output


def words(spark, raw: Input[Dataset], more: Input[list[Dataset]], table: Output[Dataset]) -> dict:
    import os

    from pyspark.sql import functions as F

    from project.naming import name

    rows = spark.read.csv(raw.path, header=True, inferSchema=True)
    for one in more:
        rows = rows.unionByName(spark.read.csv(one.path, header=True, inferSchema=True))
    named = rows.repartition(4).withColumn("name", F.udf(name, "string")("number"))
    named.write.partitionBy("name").parquet(table.path)
    table.metadata["rows"] = named.count()
    again = spark.read.parquet(table.path.replace("s3a://", "s3://"))
    shown = spark.sparkContext.getConf().getAll()
    return {
        "paths": [raw.path, [one.path for one in more], table.path],
        "counts": {row["name"]: row["count"] for row in again.groupBy("name").count().collect()},
        "secret": any(os.environ["AWS_SECRET_ACCESS_KEY"] in value for _, value in shown),
        "executors": len(spark.sparkContext._jsc.sc().statusTracker().getExecutorInfos()) - 1,
    }


def slowly(spark, table: Output[Dataset]) -> list:
    from pyspark.sql import functions as F

    def slow(number):
        import time

        time.sleep(1)
        return number

    rows = spark.range(0, 24, 1, 12).withColumn("same", F.udf(slow, "long")("id"))
    rows.write.parquet(table.path)
    written = spark.read.parquet(table.path)
    return [written.count(), written.distinct().count(), written.agg(F.sum("same")).first()[0]]


def killed(spark) -> None:
    import os
    import signal

    from pyspark import SparkContext

    spark.range(10).count()
    os.kill(SparkContext._gateway.proc.pid, signal.SIGKILL)
    spark.range(10).count()


def joined(spark, raw: Input[Dataset]) -> None:
    from pathlib import Path

    spark.read.parquet(str(Path(raw.path) / "part")).count()


def counted(spark) -> int:
    return spark.range(10).count()
"""
NAMING = """
from pathlib import Path


def name(number):
    return Path(__file__).with_name("names.txt").read_text().split()[number % 3]
"""
SMALL = {"executors": 2, "memory": "512m"}


@pytest.fixture(scope="module")
def ground(kubernetes, images, s3):
    """A namespace with a bucket of the same name."""
    name = f"headrace-spark-{os.getpid()}"
    with bucket(s3, name), namespace(kubernetes, name) as cluster:
        spark_pods.prepare(cluster, credentials=os.environ)
        made = spark_pods.Ground(
            cluster=cluster,
            image=yaml.safe_load(images.read_text())["images"]["spark"],
            store={"url": f"s3://{name}/site", "endpoint": S3_FOR_PODS, "secret": "store"},
        )
        spark_pods.project(
            made, {"steps.py": STEPS, "naming.py": NAMING, "names.txt": "one two three"}
        )
        yield made


def keys(s3, ground, prefix):
    found = s3.list_objects_v2(Bucket=ground.cluster.namespace, Prefix=prefix).get("Contents", [])
    return [one["Key"].removeprefix(prefix) for one in found]


def put(s3, ground, key, text):
    s3.put_object(Bucket=ground.cluster.namespace, Key=key, Body=text.encode())
    return f"s3://{ground.cluster.namespace}/{key}"


@pytest.fixture(scope="module")
def said(ground, s3):
    """What a step said that read, wrote and used the project's code on executors."""
    rows = [f"{number}\n" for number in range(30)]
    raw = put(s3, ground, "in/raw.csv", "number\n" + "".join(rows[:10]))
    more = [
        put(s3, ground, f"in/{at}.csv", "number\n" + "".join(rows[at : at + 10])) for at in (10, 20)
    ]
    # An earlier attempt got as far as this.
    table = put(s3, ground, "out/table/", "").rstrip("/")
    put(s3, ground, "out/table/name=one/part-0.parquet", "half")
    artifacts = {"raw": raw, "more": more, "table": table}
    with step(ground, "words", "words", spec=SMALL, artifacts=artifacts):
        yield finished(ground, "words")


def test_it_reads_and_writes_the_store_and_runs_the_projects_code(ground, said, s3):
    here = ground.cluster.namespace
    assert said["value"] == {
        "paths": [
            f"s3a://{here}/in/raw.csv",
            [f"s3a://{here}/in/10.csv", f"s3a://{here}/in/20.csv"],
            f"s3a://{here}/out/table",
        ],
        "counts": {"one": 10, "two": 10, "three": 10},
        "secret": False,
        "executors": 2,
    }
    assert said["artifacts"]["table"] == {
        "uri": f"s3://{here}/out/table", "name": "", "metadata": {"rows": 30}, "_custom_path": "",
    }  # fmt: skip
    assert {one.split("/")[0] for one in keys(s3, ground, "out/table/")} == {
        "", "_SUCCESS", "name=one", "name=two", "name=three",
    }  # fmt: skip


def test_executors_are_gone_and_their_logs_and_events_are_kept(ground, said, s3):
    until(lambda: not executors(ground, "words"), 60, "executors are left")
    kept = keys(s3, ground, "site/runs/run/steps/words/1/executors/")
    assert {"words-exec-1.log", "words-exec-2.log"} <= set(kept)
    assert keys(s3, ground, "site/runs/run/steps/words/1/evidence/") == []
    assert [one for one in keys(s3, ground, "site/events/spark/") if "events_1_" in one]


def test_a_history_server_shows_it(ground, said):
    shown = {**spark_store.settings(StoreSettings(**ground.store))}
    shown["spark.history.fs.logDirectory"] = spark_store.event_log(
        StoreSettings(**ground.store)
    )["spark.eventLog.dir"]  # fmt: skip
    options = " ".join(f"-D{key}={value}" for key, value in shown.items())
    server = spark_pods.driver(
        ground, "history",
        ["sh", "-c", f"SPARK_HISTORY_OPTS='{options}' SPARK_NO_DAEMONIZE=1 exec "
         "$SPARK_HOME/bin/spark-class org.apache.spark.deploy.history.HistoryServer"],
    )  # fmt: skip
    ground.cluster.create(server)
    ground.cluster.create(
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "history"},
            "spec": {
                "selector": {labels.STEP: "history"}, "ports": [{"name": "http", "port": 18080}],
            },
        }
    )  # fmt: skip
    try:
        until(lambda: phase(ground, "history") == "Running", 60, "it does not start")
        with forward(ground.cluster, "history", 18080) as address:

            def listed():
                try:
                    with urllib.request.urlopen(
                        f"http://{address}/api/v1/applications", timeout=5
                    ) as answer:
                        return json.load(answer)
                except OSError:
                    return None

            found = until(listed, PATIENCE, "it does not answer")
            attempt = found[0]["attempts"][0]
            assert (found[0]["id"], found[0]["name"]) == ("words", "run/words")
            assert attempt["completed"] is True
            with urllib.request.urlopen(
                f"http://{address}/api/v1/applications/words/environment", timeout=60
            ) as answer:
                environment = answer.read().decode()
        assert "spark.executor.memory" in environment
        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in environment
    finally:
        ground.cluster.delete("pods", "history", grace=0)
        ground.cluster.delete("services", "history")


def test_executors_that_are_killed_cost_time_and_nothing_else(ground, s3):
    table = f"s3://{ground.cluster.namespace}/out/slowly"
    with step(ground, "slowly", "slowly", spec=SMALL, artifacts={"table": table}):
        first = until(lambda: running(ground, "slowly", 2), PATIENCE, "no executors")[0]
        until(lambda: keys(s3, ground, "out/slowly/__magic"), PATIENCE, "nothing is written")
        ground.cluster.delete("pods", first, grace=0)
        found = finished(ground, "slowly")
    assert found["value"] == [24, 24, sum(range(24))]
    assert f"executor {first[-1]} was deleted" in found["log"]
    written = keys(s3, ground, "out/slowly/")
    assert len([one for one in written if one.startswith("part-")]) == 12
    assert not [one for one in written if one.startswith("__magic")]
    uploads = s3.list_multipart_uploads(Bucket=ground.cluster.namespace).get("Uploads", [])
    assert not uploads


def test_executors_go_with_their_driver(ground):
    table = f"s3://{ground.cluster.namespace}/out/gone"
    with step(ground, "gone", "slowly", spec=SMALL, artifacts={"table": table}):
        until(lambda: running(ground, "gone", 2), PATIENCE, "no executors")
        ground.cluster.delete("pods", "gone", grace=0)
        until(lambda: not executors(ground, "gone"), 60, "executors are left")


def test_a_killed_jvm_is_told_and_leaves_nothing(ground, s3):
    with step(ground, "killed", "killed", spec=SMALL):
        found = finished(ground, "killed")
        until(lambda: not executors(ground, "killed"), 60, "executors are left")
    assert found["error"]["what"] == "Spark's driver was killed: its JVM ended by SIGKILL."
    assert "in killed" in found["error"]["traceback"]
    evidence = keys(s3, ground, "site/runs/run/steps/killed/1/evidence/")
    assert evidence == ["executors.json"]


def test_what_pathlib_makes_of_a_uri_is_told(ground):
    raw = f"s3://{ground.cluster.namespace}/in/raw.csv"
    with step(ground, "joined", "joined", spec=SMALL, artifacts={"raw": raw}):
        found = finished(ground, "joined")
    assert found["error"]["what"] == (
        "A path names no bucket: pathlib takes one of the slashes of s3a:// away."
    )


def test_executors_that_find_no_room_are_waited_for_and_given_up(ground):
    site = ground.site(limits={"pending": 15})
    with step(ground, "huge", "counted", spec={"executors": 1, "memory": "900g"}, site=site):
        found = finished(ground, "huge")
    assert "headrace: waiting for an executor: each " in found["log"]
    assert found["error"]["what"].startswith("No executor could start: each ")
    assert "memory" in found["error"]["what"]


def running(ground, name, number):
    """The names of a driver's executors, once so many run."""
    found = [one["metadata"]["name"] for one in executors(ground, name) if is_running(one)]
    return found if len(found) == number else None
