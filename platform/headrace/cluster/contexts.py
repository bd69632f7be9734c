"""Which clusters there are, and how to get at one: by a kubeconfig's context, or from a pod."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.cluster import errors
from headrace.cluster.client import Cluster
from headrace.core.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def connect(context: str, namespace: str = "", **options: Any) -> Cluster:
    """The cluster of a kubeconfig context.

    Args:
        context: The context's name.
        namespace: The namespace; the context's own, or `default`, unless given.
        options: `patience` and `on_wait` of the `Cluster`.

    Raises:
        UsageError: There is no such context.
        ClusterProblem: The kubeconfig cannot be read.
    """
    from kubernetes import config
    from kubernetes.config.config_exception import ConfigException

    known = contexts()
    if context not in known:
        raise UsageError(
            f"There is no context {context!r}.",
            where=kubeconfig_path(),
            hint=did_you_mean(context, known) or "`kubectl config get-contexts` lists them",
        )
    try:
        api = config.new_client_from_config(config_file=kubeconfig_path(), context=context)
    except (ConfigException, OSError) as error:
        raise errors.ClusterProblem(
            f"The context {context!r} cannot be used: {error}", where=kubeconfig_path()
        ) from error
    space = namespace or known[context] or "default"
    return Cluster(context=context, namespace=space, api=_tuned(api), **options)


def contexts() -> dict[str, str]:
    """The kubeconfig's contexts, each with the namespace it names or an empty text."""
    from kubernetes import config
    from kubernetes.config.config_exception import ConfigException

    try:
        found, _ = config.list_kube_config_contexts(config_file=kubeconfig_path())
    except (ConfigException, OSError) as error:
        raise errors.ClusterProblem(
            f"There is no usable kubeconfig: {error}",
            where=kubeconfig_path(),
            hint="name one with KUBECONFIG, or let your cluster's own tool write it",
        ) from error
    return {one["name"]: one["context"].get("namespace", "") for one in found}


def current_context() -> str:
    """The kubeconfig's current context; empty if it names none."""
    from kubernetes import config

    contexts()
    _, current = config.list_kube_config_contexts(config_file=kubeconfig_path())
    return str(current["name"]) if current else ""


def kubeconfig_path() -> str:
    """Where the kubeconfig is looked for now: the client's own default is as old as its import."""
    return os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())


@functools.lru_cache(maxsize=1)
def inside(patience: float = 120.0) -> Cluster:
    """The cluster that this pod runs on, in the pod's own namespace, as its service account."""
    from kubernetes import client, config

    configuration = client.Configuration()
    config.load_incluster_config(client_configuration=configuration)
    api = client.ApiClient(configuration)
    namespace = _NAMESPACE_FILE.read_text().strip()
    return Cluster(context="in-cluster", namespace=namespace, api=_tuned(api), patience=patience)


def is_inside() -> bool:
    """Whether this process runs in a pod that has a service account's token."""
    return _NAMESPACE_FILE.exists()


def _tuned(api: ApiClient) -> ApiClient:
    # The pool is shared by threads that follow logs; asking again is this module's affair.
    api.configuration.connection_pool_maxsize = 32
    api.configuration.retries = False
    from kubernetes.client.rest import RESTClientObject

    api.rest_client = RESTClientObject(api.configuration)
    return api
