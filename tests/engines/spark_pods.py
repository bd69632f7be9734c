"""Pods that run this checkout's Spark steps on a cluster, for tests and measurements.

They have an image's libraries and the Headrace of this checkout, which travels as a ConfigMap.
"""

from __future__ import annotations

import base64
import io
import json
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.cluster import labels, pods
from headrace.cluster.client import Cluster, Manifest

PLATFORM = Path(__file__).parents[2] / "platform"
ACCOUNT, SECRET, SOURCE = "spark-step", "store", "source"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
PATIENCE = 600.0
"""Seconds for a step that takes half a minute on a machine of its own."""
SAID = "SAID "
"""What begins the line in which a program tells its test something."""
RULES = [
    {"apiGroups": [""], "resources": ["pods"],
     "verbs": ["get", "list", "watch", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
]  # fmt: skip
"""All that a Spark step may ask of its cluster."""
PROGRAM = """
import importlib, json, sys
sys.path.insert(0, "/project")
from headrace.executing import engines, failures
target, spec, artifacts = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
from kfp.dsl import Dataset
made = {
    name: [Dataset(uri=each) for each in one] if isinstance(one, list) else Dataset(uri=one)
    for name, one in artifacts.items()
}
try:
    value = engines.run(
        getattr(importlib.import_module("project.steps"), target), made, {"kind": "spark", **spec}
    )
    said = {"value": value, "artifacts": {
        name: vars(one) for name, one in made.items() if not isinstance(one, list)
    }}
except BaseException as error:
    said = {"error": failures.describe(error)}
print("SAID " + json.dumps(said), flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A namespace in which Spark steps can run."""

    cluster: Cluster = field(repr=False)
    """The cluster, in the namespace."""
    image: str
    """The Spark image."""
    store: Mapping[str, Any]
    """The site's settings of the store."""

    def site(self, **more: Any) -> str:
        """The site as a pod is given it."""
        small = {"spark-executor": {"cpu": "100m", "memory": "1Gi"}}
        return json.dumps({"store": dict(self.store), "defaults": small, **more})


def prepare(cluster: Cluster, *, credentials: Mapping[str, str]) -> None:
    """What a namespace must have: an account with few rights, the store's keys, the source."""
    for manifest in (
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET},
         "stringData": {key: credentials[key] for key in KEYS}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
         "metadata": {"name": ACCOUNT}, "rules": RULES},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
         "metadata": {"name": ACCOUNT},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT},
         "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT}]},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": SOURCE},
         "binaryData": {"headrace.zip": base64.b64encode(packed()).decode()}},
    ):  # fmt: skip
        cluster.create(manifest)


def packed() -> bytes:
    """This checkout's Headrace as an archive that Python imports from."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for file in sorted(PLATFORM.rglob("*.py")):
            out.write(file, file.relative_to(PLATFORM))
    return archive.getvalue()


def project(ground: Ground, files: Mapping[str, str]) -> None:
    """Have a package `project` with these files in every pod that is started after."""
    manifest = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "project"},
        "data": {"__init__.py": "", **files},
    }  # fmt: skip
    ground.cluster.apply(manifest)


def driver(
    ground: Ground, name: str, command: list[str], *, site: str = "", memory: str = "2Gi"
) -> Manifest:
    """A pod as a step's, which runs a command."""
    marks = labels.of_step(run="run", step=name, pipeline="tests", code="", role="step")
    plain = {
        "HOME": "/work", "PYTHONPATH": "/source/headrace.zip",
        "HEADRACE_SITE": site or ground.site(), "HEADRACE_RUN": "run", "HEADRACE_STEP": name,
        "HEADRACE_PIPELINE": "tests", "HEADRACE_ATTEMPT": "1",
    }  # fmt: skip
    fields = {"HEADRACE_POD": "metadata.name", "HEADRACE_POD_UID": "metadata.uid",
              "HEADRACE_POD_IP": "status.podIP"}  # fmt: skip
    own = [
        {"name": one, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for one, path in fields.items()
    ]
    extra = {"source": (SOURCE, "/source"), "project": ("project", "/project/project")}
    container = {
        "name": "step",
        "image": ground.image,
        "command": command,
        "workingDir": "/work",
        "env": [*pods.variables(plain, secret=SECRET, keys=KEYS), *own],
        "resources": pods.resources("100m", memory),
        "securityContext": pods.container_security(),
        "volumeMounts": [
            *pods.mounts(),
            *({"name": one, "mountPath": path} for one, (_, path) in extra.items()),
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": marks},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": ACCOUNT,
            "enableServiceLinks": False,
            "securityContext": pods.pod_security(),
            "containers": [container],
            "volumes": [
                *pods.volumes(),
                *(
                    {"name": one, "configMap": {"name": config, "optional": True}}
                    for one, (config, _) in extra.items()
                ),
            ],
        },
    }


@contextmanager
def step(
    ground: Ground,
    name: str,
    function: str,
    *,
    spec: Mapping[str, Any] | None = None,
    artifacts: Mapping[str, Any] | None = None,
    **options: Any,
) -> Iterator[str]:
    """A pod that calls a step of `project.steps`; gone at the end."""
    words = [function, json.dumps(spec or {}), json.dumps(artifacts or {})]
    pod = driver(ground, name, ["python", "-c", PROGRAM, *words], **options)
    ground.cluster.create(pod)
    try:
        yield name
    finally:
        ground.cluster.delete("pods", name, grace=0)


def finished(ground: Ground, name: str, *, patience: float = PATIENCE) -> dict[str, Any]:
    """What a step's pod said in the end, and its whole log as `log`."""
    until(lambda: phase(ground, name) in ("Succeeded", "Failed"), patience, f"{name} is not done")
    log = list(ground.cluster.logs(name))
    said = [one for one in log if one.startswith(SAID)]
    assert said, "\n".join(log)
    return {**json.loads(said[-1].removeprefix(SAID)), "log": "\n".join(log)}


def phase(ground: Ground, name: str) -> str:
    """A pod's phase; empty if there is none."""
    found = ground.cluster.get("pods", name) or {}
    return str(found.get("status", {}).get("phase", ""))


def executors(ground: Ground, name: str) -> list[Manifest]:
    """The pods of a driver's executors."""
    return ground.cluster.list("pods", f"spark-role=executor,spark-app-selector={name}")


def until(happened: Any, patience: float, otherwise: str) -> Any:
    """Wait until `happened()` is true, and return what it returned."""
    deadline = time.monotonic() + patience
    while not (found := happened()):
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.2)
    return found
