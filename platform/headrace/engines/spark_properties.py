"""What Spark is told when a step's pod is the driver and the executors are pods. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.cluster import labels, pods
from headrace.cluster.client import Manifest
from headrace.cluster.quantities import amount
from headrace.engines import spark_store
from headrace.engines.spark import SparkSpec
from headrace.engines.spark_paths import spark_uri
from headrace.sites.cluster import Site

EXECUTOR_ROLE = "spark-executor"
EXECUTOR_CONTAINER = "executor"
CODE_FOLDER = "code"
"""Where an executor finds the project's code, below `pods.WRITABLE["work"]`."""
WORK = pods.WRITABLE["work"]

_API = "k8s://https://kubernetes.default.svc"
_DRIVER_PORT, _BLOCK_PORT = "7078", "7079"
_PREFIX = 38  # Spark keeps the rest of 63 letters for `-exec-` and a number
_HEAP_SHARE = 0.6
"""Share of the pod's memory that is the driver's heap; the rest is Python's and the JVM's own."""
_LEAST_HEAP = 512
_MIB = 2**20
_OVERHEAD, _LEAST_OVERHEAD = 0.4, 384
"""What Spark adds to an executor's heap for Python's workers and the JVM itself: share, MiB."""
_SIDECARS = ("wait", "istio-proxy", "linkerd-proxy")


@dataclass(frozen=True, kw_only=True)
class Driver:
    """What the executors must know of the step's pod."""

    name: str
    """The pod's name."""
    namespace: str
    """Its namespace, where the executors are made."""
    ip: str
    """Its address."""
    image: str
    """The image of its step, which is the executors' as well."""
    pull_policy: str
    """When nodes pull it."""
    account: str
    """The service account."""
    pull_secrets: tuple[str, ...]
    """Secrets with which the image is pulled."""
    node_selector: Mapping[str, str]
    """Labels of the nodes that it may go to, the site's and the step's own."""
    tolerations: tuple[Mapping[str, Any], ...]
    """Taints that it tolerates, the site's and the step's own."""
    heap: int
    """MiB of heap that its memory leaves room for; 0 if its memory has no limit."""


def driver_of(pod: Manifest) -> Driver:
    """The driver that a step's pod is."""
    meta, spec = pod["metadata"], pod["spec"]
    container = _step_container(spec["containers"])
    limit = container.get("resources", {}).get("limits", {}).get("memory", "")
    return Driver(
        name=meta["name"],
        namespace=meta["namespace"],
        ip=pod["status"]["podIP"],
        image=container["image"],
        pull_policy=container.get("imagePullPolicy", "IfNotPresent"),
        account=spec.get("serviceAccountName", ""),
        pull_secrets=tuple(one["name"] for one in spec.get("imagePullSecrets", [])),
        node_selector=spec.get("nodeSelector", {}),
        tolerations=tuple(
            one
            for one in spec.get("tolerations", [])
            if not one.get("key", "").startswith("node.kubernetes.io/")  # Kubernetes adds them
        ),
        heap=max(_LEAST_HEAP, int(amount(limit) / _MIB * _HEAP_SHARE)) if limit else 0,
    )


def cluster_settings(
    spec: SparkSpec,
    *,
    driver: Driver,
    site: Site,
    app: str,
    scratch: Path,
    records: str,
    marks: Mapping[str, str],
    annotations: Mapping[str, str],
    code: Path | None = None,
) -> dict[str, str]:
    """The Spark properties of a session whose executors are pods.

    Args:
        spec: What the step asks for; its `conf` wins over all the rest.
        driver: The step's pod.
        site: The site.
        app: The application's name.
        scratch: A folder for spills in this pod; executors get one of their own there.
        records: The URI of the attempt's folder in the store.
        marks: Labels of each executor.
        annotations: Annotations of each executor.
        code: The archive with the project's code, if there is any.
    """
    settings = {
        "spark.app.name": app,
        "spark.app.id": driver.name,
        "spark.log.level": "WARN",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(scratch),
        "spark.sql.session.timeZone": "UTC",
        # Tables that a step names but does not place: no pod's own disk is seen by another.
        "spark.sql.warehouse.dir": spark_uri(f"{records}/warehouse"),
        **_driver_settings(driver),
        **_executor_settings(spec, driver, site),
        **_allocation(spec),
        **{f"spark.kubernetes.executor.label.{key}": one for key, one in marks.items()},
        **{f"spark.kubernetes.executor.annotation.{key}": one for key, one in annotations.items()},
        **_code(code),
        **spark_store.event_log(site.store),
        **spark_store.settings(site.store),
    }
    return settings | dict(spec.conf)


def _driver_settings(driver: Driver) -> dict[str, str]:
    host = f"[{driver.ip}]" if ":" in driver.ip else driver.ip
    heap = {"spark.driver.memory": f"{driver.heap}m"} if driver.heap else {}
    return {
        "spark.master": _API,
        "spark.kubernetes.namespace": driver.namespace,
        "spark.kubernetes.driver.pod.name": driver.name,
        "spark.driver.host": host,
        "spark.driver.port": _DRIVER_PORT,
        "spark.driver.blockManager.port": _BLOCK_PORT,
        "spark.blockManager.port": _BLOCK_PORT,
        # What a driver in a pod of its own has no use for, nor the right to.
        "spark.kubernetes.driver.service.deleteOnTermination": "false",
        "spark.kubernetes.driver.ownPersistentVolumeClaim": "false",
        "spark.kubernetes.driver.reusePersistentVolumeClaim": "false",
        "spark.kubernetes.executor.disableConfigMap": "true",
        **heap,
    }


def _executor_settings(spec: SparkSpec, driver: Driver, site: Site) -> dict[str, str]:
    secrets = dict.fromkeys([*site.pull_secrets, *driver.pull_secrets])
    chosen = {
        "spark.kubernetes.container.image.pullSecrets": ",".join(secrets),
        "spark.kubernetes.authenticate.executor.serviceAccountName": driver.account,
        "spark.kubernetes.executor.request.cores": (
            site.defaults[EXECUTOR_ROLE].cpu if EXECUTOR_ROLE in site.defaults else ""
        ),
    }
    return {
        "spark.executor.cores": str(spec.cores),
        "spark.executor.memory": spec.memory,
        # Python's workers live beside the heap.
        "spark.executor.memoryOverheadFactor": str(_OVERHEAD),
        "spark.kubernetes.container.image": driver.image,
        "spark.kubernetes.container.image.pullPolicy": driver.pull_policy,
        "spark.kubernetes.executor.podNamePrefix": labels.name(driver.name, longest=_PREFIX),
        "spark.kubernetes.executor.podTemplateContainerName": EXECUTOR_CONTAINER,
        # How an executor ended is read from its pod, which `spark_executors` then removes.
        "spark.kubernetes.executor.deleteOnTermination": "false",
        **{key: value for key, value in chosen.items() if value},
    }


def _allocation(spec: SparkSpec) -> dict[str, str]:
    most = str(max(1, spec.executors))
    return {
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.timeout": "300s",
        "spark.dynamicAllocation.minExecutors": "1",
        "spark.dynamicAllocation.initialExecutors": most,
        "spark.dynamicAllocation.maxExecutors": most,
        "spark.dynamicAllocation.executorIdleTimeout": "60s",
        "spark.executor.instances": most,
        "spark.kubernetes.allocation.batch.size": "50",
        # A quota without room counts as a failure of an executor, and passes by itself; when
        # to give up is for `spark_watching` to decide.
        "spark.executor.maxNumFailures": "1000000",
        # The step's own code runs while executors start; its first job waits for the first one.
        "spark.scheduler.minRegisteredResourcesRatio": "0",
        # An executor that is told to end hands its blocks on first. Kubernetes' own signal
        # tells it, so the hook that Spark wants to have has nothing to do.
        "spark.decommission.enabled": "true",
        "spark.storage.decommission.enabled": "true",
        "spark.executor.decommission.signal": "TERM",
        "spark.kubernetes.decommission.script": "/bin/true",
    }


def _code(archive: Path | None) -> dict[str, str]:
    if archive is None:
        return {}
    return {
        "spark.archives": f"{archive}#{CODE_FOLDER}",
        "spark.executorEnv.PYTHONPATH": f"{WORK}/{CODE_FOLDER}",
    }


def pod_template(driver: Driver) -> Manifest:
    """What an executor's pod has that no property can say."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": {
            # Executors speak to the driver and the store, never to the cluster.
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": pods.pod_security(),
            "nodeSelector": dict(driver.node_selector),
            "tolerations": [dict(one) for one in driver.tolerations],
            "containers": [
                {
                    "name": EXECUTOR_CONTAINER,
                    # Spark puts the files and archives that it ships into the current folder.
                    "workingDir": WORK,
                    "securityContext": pods.container_security(),
                    "volumeMounts": pods.mounts(),
                }
            ],
            "volumes": pods.volumes(),
        },
    }


def _step_container(containers: list[dict[str, Any]]) -> dict[str, Any]:
    """The container of the step itself, among those that others put beside it."""
    named = [one for one in containers if one["name"] in ("main", "step")]
    own = [one for one in containers if one["name"] not in _SIDECARS]
    return (named or own or containers)[0]


def probe(driver: Driver, spec: SparkSpec, site: Site, marks: Mapping[str, str]) -> Manifest:
    """A pod like an executor's, to ask the cluster whether it would make one."""
    pod = pod_template(driver)
    container = pod["spec"]["containers"][0]
    cpu = site.defaults[EXECUTOR_ROLE].cpu if EXECUTOR_ROLE in site.defaults else str(spec.cores)
    # Spark's notation of memory is Java's: 2g, 512m.
    heap = amount(f"{spec.memory.rstrip('bB').upper()}i") / _MIB
    memory = f"{int(heap + max(_LEAST_OVERHEAD, heap * _OVERHEAD))}Mi"
    container |= {"image": driver.image, "resources": pods.resources(cpu, memory)}
    meta = {"name": labels.name(driver.name, "probe"), "labels": dict(marks)}
    return {**pod, "metadata": meta, "spec": {**pod["spec"], "restartPolicy": "Never"}}
