"""A cluster on this machine with Headrace in it: which programs are called for that, and in what
order. Each step can be done again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import yaml

from headrace.cli.calling import call, of_the_images, require
from headrace.cli.installing import IMAGES, Wanted, helm_command
from headrace.cli.kuberay import kuberay_command

_HINT = "`headrace up` goes on from there"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be there."""

    tool: str
    """`kind` or `minikube`."""
    name: str
    """The cluster's name."""
    namespace: str
    """The site's namespace."""
    values: Sequence[str] = ()
    """Files of values of the chart."""
    timeout: str = "15m"
    """How long the installation may take."""

    @property
    def context(self) -> str:
        """The context that the tool writes into the kubeconfig."""
        return f"kind-{self.name}" if self.tool == "kind" else self.name


def raise_cluster(wish: Wish, *, dry_run: bool = False) -> int:
    """Make the cluster where it is not there, bring the images into it, and install.

    Raises:
        EnvironmentProblem: A program is missing, or one has failed.
    """
    for program in (wish.tool, "helm"):
        require(program)
    build = building()
    if not _is_there(wish):
        call(making(wish), hint=_HINT, dry_run=dry_run)
    call(build, hint=_HINT, dry_run=dry_run)
    wanted = Wanted(
        context=wish.context, namespace=wish.namespace, profile="kind",
        values=wish.values, timeout=wish.timeout,
    )  # fmt: skip
    loads = [loading(wish, image) for image in images(IMAGES)]
    for command in (*loads, kuberay_command(wish.context), helm_command(wanted)):
        call(command, hint=_HINT, dry_run=dry_run)
    site = f"--on {wish.context} -n {wish.namespace}"
    click.echo(f"\nheadrace doctor {site}")
    click.echo(f"headrace run PIPELINE {site}")
    click.echo(f"headrace open pipelines {site}    # or mlflow, or ray")
    return 0


def making(wish: Wish) -> list[str]:
    """The command that makes the cluster."""
    if wish.tool == "kind":
        return ["kind", "create", "cluster", "--name", wish.name, "--wait", "5m"]
    return ["minikube", "start", "--profile", wish.name, "--cpus", "4", "--memory", "8g"]


def building() -> list[str]:
    """The command that builds the images for this machine, and writes down what they are called.

    Raises:
        EnvironmentProblem: This is no checkout, and there is no such list.
    """
    return [sys.executable, str(of_the_images("build.py")), "--values", str(IMAGES)]


def images(listed: Path) -> list[str]:
    """The images that a file of values names; none if it is not there."""
    if not listed.exists():
        return []
    found = yaml.safe_load(listed.read_text()) or {}
    return [str(one) for one in (found.get("images") or {}).values()]


def loading(wish: Wish, image: str) -> list[str]:
    """The command that brings an image of this machine into the cluster."""
    if wish.tool == "kind":
        return ["kind", "load", "docker-image", image, "--name", wish.name]
    return ["minikube", "--profile", wish.name, "image", "load", image]


def _is_there(wish: Wish) -> bool:
    if wish.tool == "kind":
        listed = subprocess.run(["kind", "get", "clusters"], capture_output=True, text=True)
        return wish.name in listed.stdout.split()
    words = ["minikube", "profile", "list", "--light", "--output", "json"]
    listed = subprocess.run(words, capture_output=True, text=True)
    try:
        known = json.loads(listed.stdout).get("valid") or []
    except ValueError:  # there is none at all
        known = []
    return wish.name in [one.get("Name") for one in known]
