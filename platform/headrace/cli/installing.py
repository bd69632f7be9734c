"""The chart's installation as the command line does it: finds Helm and the chart, and calls one
with the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli.calling import call, require
from headrace.cli.onlooking import telling_troubles
from headrace.core.errors import EnvironmentProblem

if TYPE_CHECKING:
    from headrace.cluster.client import Cluster

RELEASE = "headrace"
_PACKAGE = Path(__file__).parents[1]
_CHECKOUT = _PACKAGE.parents[1]
IMAGES = Path("images/values.yaml")
"""Where `make images` writes what the images are called and what they hold."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be installed, and where."""

    context: str
    """The kubeconfig's context."""
    namespace: str
    """The namespace that is to be a site."""
    profile: str = ""
    """A profile of the chart, `kind` or `prod`; none if empty."""
    values: Sequence[str] = ()
    """Files of values; a later one wins."""
    settings: Sequence[str] = ()
    """Single values, each as `NAME=VALUE`."""
    chart: str = ""
    """The chart's folder or archive; our own if empty."""
    timeout: str = "10m"
    """How long it may take until all of it is ready."""
    dry_run: bool = False
    """Whether Helm only says what it would do."""
    kuberay: bool = False
    """Whether KubeRay's operator is installed first, if the cluster has none."""


def install(wanted: Wanted) -> int:
    """Install the chart or upgrade it, and say what comes next.

    Raises:
        UsageError: There is no such context.
        EnvironmentProblem: Helm or the chart is not there, or Helm has failed.
    """
    from headrace.cluster.contexts import connect

    cluster = connect(wanted.context, wanted.namespace)
    cluster.ask("/version")
    command = helm_command(wanted)
    if wanted.kuberay:
        _bring_kuberay(cluster, dry_run=wanted.dry_run)
    with telling_troubles(cluster, lambda line: click.echo(f"  {line}", err=True)):
        call(
            command,
            where=cluster.where,
            hint=f"`helm status {RELEASE} --kube-context {wanted.context} -n {wanted.namespace}` "
            "and `kubectl get events` tell more; the same command goes on from there",
        )
    if not wanted.dry_run:
        click.echo(f"\nhelm test {RELEASE} --kube-context {wanted.context} -n {wanted.namespace}")
        click.echo(f"headrace doctor --on {wanted.context} -n {wanted.namespace}")
    return 0


def _bring_kuberay(cluster: Cluster, *, dry_run: bool) -> None:
    from headrace.cli.kuberay import has_kuberay, kuberay_command

    if has_kuberay(cluster):
        click.echo("KubeRay is there already", err=True)
        return
    call(
        kuberay_command(cluster.context),
        dry_run=dry_run,
        where=cluster.where,
        hint="where its repository cannot be reached, install it from a mirror (headrace mirror), "
        "and leave --kuberay out",
    )


def helm_command(wanted: Wanted) -> list[str]:
    """The command that installs or upgrades.

    Raises:
        EnvironmentProblem: Helm or the chart is not there.
    """
    require("helm")
    chart = Path(wanted.chart) if wanted.chart else find_chart()
    files = [*([str(IMAGES)] if IMAGES.exists() else []), *wanted.values]
    profile = [str(chart / f"values-{wanted.profile}.yaml")] if wanted.profile else []
    return [
        "helm", "upgrade", RELEASE, str(chart), "--install", "--create-namespace",
        "--kube-context", wanted.context, "--namespace", wanted.namespace,
        *(part for one in (*profile, *files) for part in ("--values", one)),
        *(part for one in wanted.settings for part in ("--set", one)),
        "--wait", "--timeout", wanted.timeout,
        *(["--dry-run=server"] if wanted.dry_run else []),
    ]  # fmt: skip


def find_chart() -> Path:
    """Our own chart: in the package, or in the checkout that it lies in.

    Raises:
        EnvironmentProblem: It is in neither.
    """
    places = [_PACKAGE / "chart", _CHECKOUT / "helm/headrace"]
    for place in places:
        if (place / "Chart.yaml").exists():
            return place
    raise EnvironmentProblem(
        "The chart is not there.", where=[str(one) for one in places], hint="say --chart PATH"
    )
