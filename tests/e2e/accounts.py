"""Accounts that may do little, and kubeconfigs with which they come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from headrace.cluster.client import Cluster

GROUP = "rbac.authorization.k8s.io"
NAME = "limited"
PROGRAM = "import sys; from headrace.cli.main import main; sys.exit(main())"


def limited(cluster: Cluster, rules: list[dict[str, Any]], kubeconfig: Path) -> str:
    """An account of the namespace with these rights alone, in a context `limited`; its name."""
    meta = {"metadata": {"name": NAME}}
    cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", **meta})
    cluster.create({"apiVersion": f"{GROUP}/v1", "kind": "Role", **meta, "rules": rules})
    bind(cluster, NAME, account=NAME)
    there = cluster.api.configuration
    server = {"server": there.host, "certificate-authority": there.ssl_ca_cert}
    context = {"cluster": "there", "user": NAME, "namespace": cluster.namespace}
    write(kubeconfig, {NAME: context}, {"there": server}, {NAME: {"token": token(cluster, NAME)}})
    return f"system:serviceaccount:{cluster.namespace}:{NAME}"


def bind(cluster: Cluster, role: str, *, account: str) -> None:
    """Give a Role of the namespace to an account; the binding has the Role's name and `-too`."""
    subject = {"kind": "ServiceAccount", "name": account, "namespace": cluster.namespace}
    cluster.create(
        {"apiVersion": f"{GROUP}/v1", "kind": "RoleBinding",
         "metadata": {"name": f"{role}-too"}, "subjects": [subject],
         "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": role}}
    )  # fmt: skip


def token(cluster: Cluster, account: str) -> str:
    """A token with which a service account comes."""
    path = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts/{account}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    return str(cluster.ask(path, method="POST", body=request)["status"]["token"])


def write(path: Path, contexts: Any, clusters: Any, users: Any) -> None:
    """A kubeconfig; its first context is the current one."""
    content = {
        "apiVersion": "v1", "kind": "Config", "current-context": next(iter(contexts)),
        "contexts": [{"name": name, "context": one} for name, one in contexts.items()],
        "clusters": [{"name": name, "cluster": one} for name, one in clusters.items()],
        "users": [{"name": name, "user": one} for name, one in users.items()],
    }  # fmt: skip
    path.write_text(json.dumps(content))


def headrace(kubeconfig: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line with another kubeconfig, which is read when a process begins."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
    )  # fmt: skip
