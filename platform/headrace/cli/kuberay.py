"""KubeRay's operator, which Ray steps need: the one that is there, or one from its repository."""

from __future__ import annotations

from headrace.cli.charts import KUBERAY, other_charts
from headrace.cluster.client import Cluster
from headrace.cluster.errors import NotThere

NAMESPACE = "kuberay-system"
"""Where the operator goes; the chart's `kuberayNamespace` unless told."""


def kuberay_command(context: str) -> list[str]:
    """The command that installs the operator, or upgrades the one that it has installed."""
    chart = other_charts()[KUBERAY]
    return [
        "helm", "upgrade", chart.name, chart.name, "--install",
        "--repo", chart.repository, "--version", chart.version,
        "--kube-context", context, "--namespace", NAMESPACE, "--create-namespace",
        *(part for one in chart.settings() for part in ("--set", one)), "--wait",
    ]  # fmt: skip


def has_kuberay(cluster: Cluster) -> bool:
    """Whether somebody has brought KubeRay's kinds into a cluster."""
    try:
        cluster.ask("/apis/ray.io/v1")
    except NotThere:
        return False
    return True
