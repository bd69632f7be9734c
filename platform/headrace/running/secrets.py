"""Secrets that a pipeline takes from Kubernetes, on the laptop: a file or a variable each."""

from __future__ import annotations

import os
from typing import Any

from headrace.core.errors import EnvironmentProblem
from headrace.running.leaf import Leaf
from headrace.running.session import Session


def environment(session: Session, leaf: Leaf) -> dict[str, str]:
    """The variables that `kubernetes.use_secret_as_env` promises this step.

    A secret's key is the file `secrets/NAME/KEY` in the home, or else the variable of the
    same name in the environment of `headrace run`.

    Raises:
        EnvironmentProblem: It is neither, and not optional.
    """
    found: dict[str, str] = {}
    for secret in session.kubernetes(leaf.label).get("secretAsEnv", []):
        name = _name(secret, leaf)
        for pair in secret["keyToEnv"]:
            variable, key = pair["envVar"], pair["secretKey"]
            file = session.home.root / "secrets" / name / key
            if file.is_file():
                found[variable] = file.read_text().rstrip("\n")
            elif variable in os.environ:
                found[variable] = os.environ[variable]
            elif not secret.get("optional"):
                raise EnvironmentProblem(
                    f"The step needs key {key!r} of the secret {name!r}.",
                    where=[str(file), f"the environment variable {variable}"],
                    hint="put its value into that file, or set that variable",
                )
    return found


def _name(secret: Any, leaf: Leaf) -> str:
    parameter = secret.get("secretNameParameter", {})
    if "componentInputParameter" in parameter:
        name = parameter["componentInputParameter"]
        found = leaf.around.parameters.get(name)
        if found is None:
            raise EnvironmentProblem(f"The name of a secret, {name!r}, has no value here.")
        return str(found)
    constant = parameter.get("runtimeValue", {}).get("constant")
    return str(constant or secret.get("secretName", ""))
