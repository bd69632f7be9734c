"""What a run takes from its surroundings: variables for its steps, the state of its repository."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from headrace.compiling.pipeline import Compiled
from headrace.executing import context
from headrace.executing.variables import PLAIN_VARIABLES
from headrace.sites.home import HOME_VARIABLE, Home


def of_steps(home: Home, run_id: str, pipeline: str, code: Path | None) -> dict[str, str]:
    """The environment of every step: ours, and where everything is."""
    path = [str(code)] if code else []
    path += [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        **PLAIN_VARIABLES,
        "MLFLOW_TRACKING_URI": home.tracking_uri,
        "MLFLOW_REGISTRY_URI": home.tracking_uri,
        HOME_VARIABLE: str(home.root),
        context.RUN: run_id,
        context.PIPELINE: pipeline,
    }


def git_state(compiled: Compiled) -> dict[str, Any] | None:
    """The state of the repository that the pipeline lies in."""
    if compiled.code is None:
        return None

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(compiled.code.root if compiled.code else "."), *words],
            capture_output=True, text=True, check=True, timeout=5,
        )  # fmt: skip
        return done.stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "branch": git("rev-parse", "--abbrev-ref", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--", ".")),
        }
    except (OSError, subprocess.SubprocessError):
        return None
