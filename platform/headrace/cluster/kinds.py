"""The kinds of objects that Headrace reads and makes, and where the API serves them."""

from __future__ import annotations

_GROUPS = {
    "v1": ["pods", "configmaps", "secrets", "services", "events", "serviceaccounts",
           "persistentvolumeclaims", "resourcequotas", "limitranges", "endpoints", "podtemplates"],
    "batch/v1": ["jobs"],
    "apps/v1": ["deployments", "replicasets"],
    "autoscaling/v2": ["horizontalpodautoscalers"],
    "policy/v1": ["poddisruptionbudgets"],
    "networking.k8s.io/v1": ["networkpolicies"],
    "rbac.authorization.k8s.io/v1": ["roles", "rolebindings"],
    "coordination.k8s.io/v1": ["leases"],
    "ray.io/v1": ["rayjobs", "rayclusters"],
    "argoproj.io/v1alpha1": ["workflows"],
    "kubeflow.org/v1beta1": ["scheduledworkflows"],
    "kueue.x-k8s.io/v1beta2": ["workloads", "localqueues"],
}  # fmt: skip
OF_RUNS = ("rayjobs", "jobs", "rayclusters", "pods", "persistentvolumeclaims")
"""What a run makes, owners before what they own."""
_KNOWN = {kind: version for version, kinds in _GROUPS.items() for kind in kinds}
_CLUSTER_WIDE = {
    "nodes": "v1",
    "namespaces": "v1",
    "persistentvolumes": "v1",
    "customresourcedefinitions": "apiextensions.k8s.io/v1",
    "clusterqueues": "kueue.x-k8s.io/v1beta2",
}


def path(kind: str, namespace: str, name: str = "", *, sub: str = "") -> str:
    """The URL path of a kind's objects in a namespace, or of one object or its subresource.

    Args:
        kind: The plural name, such as `rayjobs`.
        namespace: The namespace; kinds that have none ignore it.
        name: One object.
        sub: A subresource such as `log`.
    """
    version = _CLUSTER_WIDE.get(kind) or _KNOWN[kind]
    base = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    scope = "" if kind in _CLUSTER_WIDE else f"/namespaces/{namespace}"
    parts = [f"{base}{scope}/{kind}", *([name] if name else []), *([sub] if sub else [])]
    return "/".join(parts)


def group(kind: str) -> str:
    """The API group of a kind; empty for the core group."""
    version = _CLUSTER_WIDE.get(kind) or _KNOWN[kind]
    return version.rpartition("/")[0]


def plural(manifest_kind: str) -> str:
    """The plural name of a manifest's `kind`: `NetworkPolicy` is `networkpolicies`."""
    word = manifest_kind.lower()
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
