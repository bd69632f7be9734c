"""Parts of pods that all of Headrace's pods share. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

USER = 65532
"""The user of every image."""
WRITABLE = {"tmp": "/tmp", "work": "/work", "s3": "/s3"}  # noqa: S108
"""Folders that can be written; everything else of a container is read-only."""


def container_security() -> dict[str, Any]:
    """A container's security context: no root, no privileges, nothing to write to."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def pod_security() -> dict[str, Any]:
    """A pod's security context."""
    return {"runAsNonRoot": True, "fsGroup": USER, "seccompProfile": {"type": "RuntimeDefault"}}


def volumes() -> list[dict[str, Any]]:
    """The pod's volumes behind the folders that can be written."""
    return [{"name": name, "emptyDir": {}} for name in WRITABLE]


def mounts() -> list[dict[str, Any]]:
    """Where a container finds them."""
    return [{"name": name, "mountPath": path} for name, path in WRITABLE.items()]


def variables(plain: Mapping[str, str], *, secret: str = "", keys: Sequence[str] = ()) -> Any:
    """A container's environment: plain values, and keys of a Secret under their own names."""
    return [{"name": name, "value": value} for name, value in plain.items()] + [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for key in (keys if secret else ())
    ]


def resources(cpu: str, memory: str, *, gpus: float = 0) -> dict[str, Any]:
    """Requests and limits: memory is both, cores are asked for and may be exceeded."""
    extra = {"nvidia.com/gpu": str(int(gpus))} if gpus else {}
    return {
        "requests": {"cpu": cpu, "memory": memory} | extra,
        "limits": {"memory": memory} | extra,
    }


def tolerations(
    given: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What a pod tolerates: what it is told to, and the taints of nodes that have its devices.

    Nodes with GPUs are kept for those that ask for some by a taint of the resource's name. Where
    Kubernetes' own plug-in for it is on (ExtendedResourceToleration), it adds the same.

    Args:
        given: What the site and the pipeline say.
        asked: The container's resources.
    """
    names = {**asked.get("requests", {}), **asked.get("limits", {})}
    devices = [{"key": name, "operator": "Exists"} for name in sorted(names) if "/" in name]
    return [dict(one) for one in (*given, *devices)]
