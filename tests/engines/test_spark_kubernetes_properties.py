"""What Spark is told on a cluster, whole, and what in a pod or a site changes it. No JVM starts."""

from dataclasses import replace
from pathlib import Path

import pytest

from headrace.cluster import pods
from headrace.engines.spark import SparkSpec
from headrace.engines.spark_properties import (
    Driver,
    cluster_settings,
    driver_of,
    pod_template,
    probe,
)
from headrace.sites.cluster import Resources, Site, StoreSettings

SITE = Site(
    store=StoreSettings(url="s3://bucket/site", endpoint="http://s3.example:9000", secret="store"),
    pull_secrets=("registry",),
)
MARKS = {"headrace.dev/role": "spark-executor", "kueue.x-k8s.io/queue-name": "team"}


def pod(**spec):
    """A step's pod, as far as it matters here."""
    return {
        "metadata": {"name": "run-step-1-x7k2p", "namespace": "ml"},
        "spec": {
            "serviceAccountName": "headrace-step",
            "containers": [
                {
                    "name": "step",
                    "image": "registry.example/spark:1",
                    "imagePullPolicy": "Always",
                    "resources": {"limits": {"memory": "2Gi"}},
                }
            ],
            **spec,
        },
        "status": {"podIP": "10.0.0.7"},
    }


def settings(spec=None, *, driver=None, site=SITE, code=None):
    return cluster_settings(
        spec or SparkSpec(executors=3, cores=2, memory="4g"),
        driver=driver or driver_of(pod()),
        site=site,
        app="run/step",
        scratch=Path("/tmp/spark-1"),
        records="s3://bucket/site/runs/run/steps/step/1",
        marks=MARKS,
        annotations={"headrace.dev/step-path": "step"},
        code=code,
    )


def test_the_whole_of_them():
    assert settings(code=Path("/tmp/spark-1/code.zip")) == {
        "spark.app.name": "run/step",
        "spark.app.id": "run-step-1-x7k2p",
        "spark.log.level": "WARN",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": "/tmp/spark-1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": "s3a://bucket/site/runs/run/steps/step/1/warehouse",
        # The driver.
        "spark.master": "k8s://https://kubernetes.default.svc",
        "spark.kubernetes.namespace": "ml",
        "spark.kubernetes.driver.pod.name": "run-step-1-x7k2p",
        "spark.driver.host": "10.0.0.7",
        "spark.driver.port": "7078",
        "spark.driver.blockManager.port": "7079",
        "spark.blockManager.port": "7079",
        "spark.driver.memory": "1228m",
        "spark.kubernetes.driver.service.deleteOnTermination": "false",
        "spark.kubernetes.driver.ownPersistentVolumeClaim": "false",
        "spark.kubernetes.driver.reusePersistentVolumeClaim": "false",
        "spark.kubernetes.executor.disableConfigMap": "true",
        # The executors.
        "spark.executor.cores": "2",
        "spark.executor.memory": "4g",
        "spark.executor.memoryOverheadFactor": "0.4",
        "spark.kubernetes.container.image": "registry.example/spark:1",
        "spark.kubernetes.container.image.pullPolicy": "Always",
        "spark.kubernetes.container.image.pullSecrets": "registry",
        "spark.kubernetes.authenticate.executor.serviceAccountName": "headrace-step",
        "spark.kubernetes.executor.podNamePrefix": "run-step-1-x7k2p",
        "spark.kubernetes.executor.podTemplateContainerName": "executor",
        "spark.kubernetes.executor.deleteOnTermination": "false",
        "spark.kubernetes.executor.label.headrace.dev/role": "spark-executor",
        "spark.kubernetes.executor.label.kueue.x-k8s.io/queue-name": "team",
        "spark.kubernetes.executor.annotation.headrace.dev/step-path": "step",
        # How many, and how they go.
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.timeout": "300s",
        "spark.dynamicAllocation.minExecutors": "1",
        "spark.dynamicAllocation.initialExecutors": "3",
        "spark.dynamicAllocation.maxExecutors": "3",
        "spark.dynamicAllocation.executorIdleTimeout": "60s",
        "spark.executor.instances": "3",
        "spark.executor.maxNumFailures": "1000000",
        "spark.kubernetes.allocation.batch.size": "50",
        "spark.scheduler.minRegisteredResourcesRatio": "0",
        "spark.decommission.enabled": "true",
        "spark.storage.decommission.enabled": "true",
        "spark.executor.decommission.signal": "TERM",
        "spark.kubernetes.decommission.script": "/bin/true",
        # The project's code.
        "spark.archives": "/tmp/spark-1/code.zip#code",
        "spark.executorEnv.PYTHONPATH": "/work/code",
        # Event logs and the store.
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": "s3a://bucket/site/events/spark",
        "spark.eventLog.overwrite": "true",
        "spark.eventLog.rolling.enabled": "true",
        "spark.eventLog.rolling.maxFileSize": "16m",
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.s3a.endpoint": "http://s3.example:9000",
        "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.aws.credentials.provider": (
            "software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider"
        ),
        "spark.hadoop.fs.s3a.buffer.dir": "/tmp/s3a",
        "spark.hadoop.fs.s3a.committer.name": "magic",
        "spark.hadoop.fs.s3a.committer.magic.enabled": "true",
        "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3a": (
            "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory"
        ),
        "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3": (
            "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory"
        ),
        "spark.sql.sources.commitProtocolClass": (
            "org.apache.spark.internal.io.cloud.PathOutputCommitProtocol"
        ),
        "spark.sql.parquet.output.committer.class": (
            "org.apache.spark.internal.io.cloud.BindingParquetOutputCommitter"
        ),
        "spark.kubernetes.executor.secretKeyRef.AWS_ACCESS_KEY_ID": "store:AWS_ACCESS_KEY_ID",
        "spark.kubernetes.executor.secretKeyRef.AWS_SECRET_ACCESS_KEY": (
            "store:AWS_SECRET_ACCESS_KEY"
        ),
    }


def test_the_steps_properties_win():
    chosen = {"spark.executor.memory": "1g", "spark.kubernetes.executor.request.cores": "300m"}
    assert settings(SparkSpec(conf=chosen)) == settings(SparkSpec()) | chosen


def changed(**facts):
    """What differs from the settings above."""
    before, after = settings(), settings(**facts)
    return {key: after.get(key) for key in {*before, *after} if before.get(key) != after.get(key)}


def test_a_store_of_the_cloud_lets_the_surroundings_say_who_asks():
    cloud = replace(SITE, store=StoreSettings(url="s3://bucket/site", region="eu-west-1"))
    assert changed(site=cloud) == {
        "spark.hadoop.fs.s3a.endpoint": None,
        "spark.hadoop.fs.s3a.path.style.access": None,
        "spark.hadoop.fs.s3a.endpoint.region": "eu-west-1",
        "spark.hadoop.fs.s3a.aws.credentials.provider": (
            "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
        ),
        "spark.kubernetes.executor.secretKeyRef.AWS_ACCESS_KEY_ID": None,
        "spark.kubernetes.executor.secretKeyRef.AWS_SECRET_ACCESS_KEY": None,
    }


def test_a_site_with_few_cores_has_executors_ask_for_less():
    small = replace(SITE, defaults={"spark-executor": Resources(cpu="250m")})
    assert changed(site=small) == {"spark.kubernetes.executor.request.cores": "250m"}


def test_long_names_addresses_of_the_new_kind_and_pods_without_a_limit():
    driver = replace(driver_of(pod()), ip="fd00::7", heap=0, name=f"{'long-' * 12}x")
    found = changed(driver=driver)
    prefix = found.pop("spark.kubernetes.executor.podNamePrefix")
    assert found == {
        "spark.driver.host": "[fd00::7]",
        "spark.driver.memory": None,
        "spark.app.id": driver.name,
        "spark.kubernetes.driver.pod.name": driver.name,
    }
    assert len(prefix) <= 38 and prefix.startswith("long-long-")


def test_the_driver_that_a_pod_is():
    taints = [
        {"key": "gpu", "operator": "Exists"},
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
    ]
    placed = pod(
        nodeSelector={"pool": "big"}, tolerations=taints, imagePullSecrets=[{"name": "registry"}]
    )
    assert driver_of(placed) == Driver(
        name="run-step-1-x7k2p",
        namespace="ml",
        ip="10.0.0.7",
        image="registry.example/spark:1",
        pull_policy="Always",
        account="headrace-step",
        pull_secrets=("registry",),
        node_selector={"pool": "big"},
        tolerations=({"key": "gpu", "operator": "Exists"},),
        heap=1228,
    )


@pytest.mark.parametrize("name", ["main", "step", "anything"])
def test_containers_that_others_put_beside_the_step_are_not_its_own(name):
    beside = [{"name": "wait", "image": "argoexec"}, {"name": "istio-proxy", "image": "istio"}]
    placed = pod(containers=[*beside, {"name": name, "image": "mine"}])
    assert driver_of(placed).image == "mine"


TEMPLATE = {
    "apiVersion": "v1",
    "kind": "Pod",
    "spec": {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pods.pod_security(),
        "nodeSelector": {"pool": "big"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "containers": [
            {
                "name": "executor",
                "workingDir": "/work",
                "securityContext": pods.container_security(),
                "volumeMounts": [
                    {"name": "tmp", "mountPath": "/tmp"},
                    {"name": "work", "mountPath": "/work"},
                    {"name": "s3", "mountPath": "/s3"},
                ],
            }
        ],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "work", "emptyDir": {}},
            {"name": "s3", "emptyDir": {}},
        ],
    },
}
PLACED = driver_of(
    pod(nodeSelector={"pool": "big"}, tolerations=[{"key": "gpu", "operator": "Exists"}])
)


def test_the_whole_pod_template():
    assert pod_template(PLACED) == TEMPLATE


def test_a_pod_of_an_executors_size_asks_for_what_spark_would():
    found = probe(PLACED, SparkSpec(cores=2, memory="4g"), SITE, MARKS)
    container = TEMPLATE["spec"]["containers"][0] | {
        "image": "registry.example/spark:1",
        "resources": {
            "requests": {"cpu": "2", "memory": "5734Mi"},
            "limits": {"memory": "5734Mi"},
        },
    }
    assert found == TEMPLATE | {
        "metadata": {"name": "run-step-1-x7k2p-probe", "labels": MARKS},
        "spec": TEMPLATE["spec"] | {"containers": [container], "restartPolicy": "Never"},
    }
    assert probe(PLACED, SparkSpec(memory="512m"), SITE, MARKS)["spec"]["containers"][0][
        "resources"
    ]["limits"] == {"memory": "896Mi"}
