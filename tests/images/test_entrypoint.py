"""The spark image starts executors as Spark asks for them, and anything else as it is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import IMAGES

SPARK = {
    "JAVA_HOME": "/opt/java",
    "SPARK_HOME": "/opt/spark",
    "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@10.0.0.1:7078",
    "SPARK_EXECUTOR_ID": "3",
    "SPARK_EXECUTOR_CORES": "2",
    "SPARK_EXECUTOR_MEMORY": "1408m",
    "SPARK_APPLICATION_ID": "spark-1",
    "SPARK_EXECUTOR_POD_IP": "10.0.0.2",
    "SPARK_EXECUTOR_POD_NAME": "app-exec-3",
    "SPARK_RESOURCE_PROFILE_ID": "0",
    **{f"SPARK_JAVA_OPT_{number}": f"-D{number}=a b" for number in (10, 2, 0)},
}


@pytest.fixture
def entrypoint(load):
    return load("spark/spark-entrypoint")


def test_an_executor(entrypoint):
    assert entrypoint.executor(SPARK) == [
        "/opt/java/bin/java",
        "-D0=a b",
        "-D2=a b",
        "-D10=a b",
        "-Xms1408m",
        "-Xmx1408m",
        "-cp",
        "/opt/spark/conf:/opt/spark/jars/*",
        "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend",
        "--driver-url",
        "spark://CoarseGrainedScheduler@10.0.0.1:7078",
        "--executor-id",
        "3",
        "--cores",
        "2",
        "--app-id",
        "spark-1",
        "--hostname",
        "10.0.0.2",
        "--resourceProfileId",
        "0",
        "--podName",
        "app-exec-3",
    ]


def test_what_is_added_to_the_classpath(entrypoint):
    added = {
        "SPARK_CONF_DIR": "/conf",
        "HADOOP_CONF_DIR": "/hadoop",
        "SPARK_CLASSPATH": "/jars/a.jar",
        "SPARK_EXTRA_CLASSPATH": "/jars/b.jar",
        "SPARK_DIST_CLASSPATH": "/jars/c.jar",
    }
    assert entrypoint.classpath(SPARK | added) == (
        "/conf:/hadoop:/jars/a.jar:/opt/spark/jars/*:/jars/b.jar:/jars/c.jar"
    )


def run(*command, **environ):
    return subprocess.run(
        [sys.executable, "-IS", IMAGES / "spark/spark-entrypoint", *command],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environ},
    )


def test_another_command_takes_its_place(entrypoint):
    done = run("sh", "-ec", 'echo "$0 $1: $MARK"; exit 3', "a", "b c", MARK="here")
    assert (done.returncode, done.stdout, done.stderr) == (3, "a b c: here\n", "")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([], "give a command, or `executor` as Spark on Kubernetes does"),
        (["executor"], "an executor needs the variable SPARK_EXECUTOR_MEMORY"),
        (["no-such-program"], "no-such-program: No such file or directory"),
    ],
)
def test_what_cannot_be_started(command, message):
    done = run(*command)
    assert (done.returncode, done.stderr) == (1, f"spark-entrypoint: {message}\n")
