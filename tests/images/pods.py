"""Pods as Headrace makes them: nobody's user, a root that cannot be written, three emptyDirs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence

from kubernetes import client, config


def pod(
    name: str, image: str, arguments: Sequence[str], *, files: str, environ: Mapping[str, str]
) -> dict:
    """A pod's manifest; the ConfigMap `files` lies at /given."""
    folders = ("tmp", "s3", "work")
    mounts = [{"name": one, "mountPath": f"/{one}"} for one in folders]
    return {
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "activeDeadlineSeconds": 1500,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": [
                *({"name": one, "emptyDir": {}} for one in folders),
                {"name": "given", "configMap": {"name": files}},
            ],
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "args": list(arguments),
                    "env": [{"name": key, "value": value} for key, value in environ.items()],
                    "volumeMounts": [*mounts, {"name": "given", "mountPath": "/given"}],
                    "securityContext": {
                        "readOnlyRootFilesystem": True,
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "3Gi"}},
                }
            ],
        },
    }


class Pods:
    """A namespace that lasts for a module's tests."""

    def __init__(self, namespace: str, files: Mapping[str, str]) -> None:
        config.load_kube_config()
        self.api = client.CoreV1Api()
        self.namespace = namespace
        self.api.create_namespace({"metadata": {"name": namespace}})
        given = {"metadata": {"name": "given"}, "data": dict(files)}
        self.api.create_namespaced_config_map(namespace, given)

    def close(self) -> None:
        """Delete the namespace and all that is in it."""
        self.api.delete_namespace(self.namespace)

    def run(self, name: str, image: str, *arguments: str, **environ: str) -> dict:
        """Run a pod to its end; the line of its log that begins with `answer:`."""
        manifest = pod(name, image, arguments, files="given", environ=environ)
        self.api.create_namespaced_pod(self.namespace, manifest)
        while (phase := self.phase(name)) not in ("Succeeded", "Failed"):
            time.sleep(1)
        # As it was written: the client would take a log for a document.
        answer = self.api.read_namespaced_pod_log(name, self.namespace, _preload_content=False)
        log = answer.data.decode(errors="replace")
        lines = [line for line in log.splitlines() if line.startswith("answer: ")]
        assert phase == "Succeeded" and lines, f"the pod {phase.lower()}:\n{log}"
        return json.loads(lines[-1].removeprefix("answer: "))

    def phase(self, name: str) -> str:
        """How far a pod is."""
        return self.api.read_namespaced_pod(name, self.namespace).status.phase
