"""What a pipeline says of a step for Kubernetes alone, turned into parts of its pod. Pure.

KFP keeps these settings in the compiled pipeline's platform specification.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.core.errors import EnvironmentProblem, UsageError

_KNOWN = frozenset({
    "secretAsEnv", "secretAsVolume", "configMapAsEnv", "configMapAsVolume", "pvcMount",
    "nodeSelector", "tolerations", "imagePullSecret", "podMetadata", "fieldPathAsEnv",
    "imagePullPolicy", "activeDeadlineSeconds", "emptyDirMounts",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Parts of a pod beyond what every step's pod has."""

    variables: tuple[Mapping[str, Any], ...] = ()
    """Environment entries that refer to Secrets, ConfigMaps or the pod itself."""
    variable_sources: tuple[Mapping[str, Any], ...] = ()
    """Whole Secrets or ConfigMaps as environment."""
    volumes: tuple[Mapping[str, Any], ...] = ()
    """Further volumes."""
    mounts: tuple[Mapping[str, Any], ...] = ()
    """Where they are mounted."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of the nodes that the pod may go to."""
    tolerations: tuple[Mapping[str, Any], ...] = ()
    """Taints that it tolerates."""
    pull_secrets: tuple[str, ...] = ()
    """Secrets with which its image is pulled."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Further labels."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Further annotations."""


def read(settings: Mapping[str, Any], inputs: Mapping[str, Any]) -> Overrides:
    """The overrides in an executor's Kubernetes settings.

    Args:
        settings: The executor's part of the platform specification.
        inputs: Parameters of the graph around the step, which settings may refer to.

    Raises:
        UsageError: A setting that Headrace does not know how to carry out.
    """
    unknown = sorted(set(settings) - _KNOWN)
    if unknown:
        raise UsageError(
            f"The pipeline has settings for Kubernetes that this cannot carry out: "
            f"{', '.join(unknown)}.",
            hint="run it through Kubeflow Pipelines, or leave them out",
        )

    def named(one: Mapping[str, Any], kind: str) -> str:
        return _name(one, kind, inputs)

    volumes, mounts = _volumes(settings, named)
    metadata = settings.get("podMetadata", {})
    return Overrides(
        variables=tuple(_variables(settings, named)),
        volumes=tuple(volumes),
        mounts=tuple(mounts),
        node_selector=dict(settings.get("nodeSelector", {}).get("labels", {})),
        tolerations=tuple(_toleration(one) for one in settings.get("tolerations", [])),
        pull_secrets=tuple(named(one, "secret") for one in settings.get("imagePullSecret", [])),
        labels=dict(metadata.get("labels", {})),
        annotations=dict(metadata.get("annotations", {})),
    )


def _variables(
    settings: Mapping[str, Any], named: Callable[[Mapping[str, Any], str], str]
) -> list[dict[str, Any]]:
    found = []
    for kind, ref, key in (
        ("secret", "secretKeyRef", "secretKey"),
        ("configMap", "configMapKeyRef", "configMapKey"),
    ):
        for one in settings.get(f"{kind}AsEnv", []):
            for pair in one["keyToEnv"]:
                source = {"name": named(one, kind), "key": pair[key]}
                source |= {"optional": True} if one.get("optional") else {}
                found.append({"name": pair["envVar"], "valueFrom": {ref: source}})
    for one in settings.get("fieldPathAsEnv", []):
        path = {"fieldPath": one["fieldPath"]}
        found.append({"name": one["name"], "valueFrom": {"fieldRef": path}})
    return found


def _volumes(
    settings: Mapping[str, Any], named: Callable[[Mapping[str, Any], str], str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    sources: list[tuple[dict[str, Any], Mapping[str, Any]]] = []
    for one in settings.get("secretAsVolume", []):
        optional = bool(one.get("optional"))
        secret = {"secretName": named(one, "secret"), "optional": optional}
        sources.append(({"secret": secret}, one))
    for one in settings.get("configMapAsVolume", []):
        optional = bool(one.get("optional"))
        config_map = {"name": named(one, "configMap"), "optional": optional}
        sources.append(({"configMap": config_map}, one))
    for one in settings.get("pvcMount", []):
        sources.append(({"persistentVolumeClaim": {"claimName": named(one, "pvc")}}, one))
    for one in settings.get("emptyDirMounts", []):
        size = {"sizeLimit": one["sizeLimit"]} if one.get("sizeLimit") else {}
        sources.append(({"emptyDir": size}, one))
    volumes, mounts = [], []
    for number, (source, one) in enumerate(sources):
        volumes.append({"name": f"pipeline-{number}", **source})
        mount = {"name": f"pipeline-{number}", "mountPath": one["mountPath"]}
        mounts.append(mount | ({"subPath": one["subPath"]} if one.get("subPath") else {}))
    return volumes, mounts


def _toleration(one: Mapping[str, Any]) -> dict[str, Any]:
    kept = {"key", "operator", "value", "effect", "tolerationSeconds"}
    return {key: value for key, value in one.items() if key in kept}


def _name(one: Mapping[str, Any], kind: str, inputs: Mapping[str, Any]) -> str:
    """The name of a Secret, ConfigMap or claim, which may come from an input."""
    parameter = one.get(f"{kind}NameParameter", {})
    if "componentInputParameter" in parameter:
        name = parameter["componentInputParameter"]
        if inputs.get(name) is None:
            raise EnvironmentProblem(f"The name of a {kind}, {name!r}, has no value here.")
        return str(inputs[name])
    constant = parameter.get("runtimeValue", {}).get("constant")
    names = (constant, one.get(f"{kind}Name"), one.get("configName"), one.get("constant"))
    return str(next((name for name in names if name), ""))
