"""Other programs that the command line calls in people's place: whatever changes something is
shown.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import click

from headrace.core.errors import EnvironmentProblem

_REMEDIES = {
    "helm": "install Helm 4: https://helm.sh/docs/intro/install",
    "kind": "install kind: https://kind.sigs.k8s.io",
    "minikube": "install minikube: https://minikube.sigs.k8s.io",
}


def require(program: str) -> None:
    """See that a program is there.

    Raises:
        EnvironmentProblem: It is not.
    """
    if shutil.which(program) is None:
        raise EnvironmentProblem(f"{program} is not on the PATH.", hint=_REMEDIES[program])


def of_the_images(name: str) -> Path:
    """A program of the images', which are built in a checkout.

    Raises:
        EnvironmentProblem: The current folder is none.
    """
    path = Path("images") / name
    if not path.exists():
        raise EnvironmentProblem(
            "There are no sources of the images here.",
            where=str(Path.cwd() / path),
            hint="go to a checkout of Headrace",
        )
    return path


def ask(command: Sequence[str], *, hint: str = "") -> str:
    """What a program that changes nothing writes on its standard output.

    Raises:
        EnvironmentProblem: It has failed.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise EnvironmentProblem(done.stderr.strip(), where=shlex.join(command), hint=hint)
    return done.stdout


def call(command: Sequence[str], *, hint: str, where: str = "", dry_run: bool = False) -> None:
    """Show a command and run it; what it prints is seen as it comes.

    Args:
        command: The program and its words.
        hint: What to do if it fails.
        where: Where it was at work, for the error.
        dry_run: Only show it.

    Raises:
        EnvironmentProblem: It has failed.
    """
    click.echo(f"$ {shlex.join(command)}")
    if dry_run:
        return
    done = subprocess.run(command)
    if done.returncode:
        raise EnvironmentProblem(
            f"{command[0]} has ended with exit code {done.returncode}; what it said stands above.",
            where=where or (),
            hint=hint,
        )
