"""A run as one JSON object, for programs. Keys may be added to it; none changes its meaning."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headrace.cli.outcomes import outcomes
from headrace.cli.view import Failure, RunView, StepView


def run_object(view: RunView, *, folder: Path) -> dict[str, Any]:
    """Everything that a summary tells.

    Keys: `run`, `name` (what people call it), `pipeline`, `source`, `site` (context and
    namespace; null for this machine), `state` (a State, or `killed`), `exit_code`, `started`
    (unix seconds), `seconds`, `parameters`, `outputs`, `code_digest`, `git`, `steps` (see
    `step_object`), `metrics` ({step: figures}), `models` (name, version, uri), `gates` (promoted,
    alias, gate, model, figures, reason), `endpoints` (url, model), `error` (what, where, hint,
    kind, traceback, exit_code; or null), `folder` (absolute path).
    """
    found = outcomes(view)
    return {
        "run": view.run,
        "name": view.name,
        "pipeline": view.pipeline,
        "source": view.source,
        "site": dict(view.site) if view.site else None,
        "state": view.label,
        "exit_code": view.exit_code,
        "started": view.started,
        "seconds": view.seconds,
        "parameters": dict(view.parameters),
        "outputs": dict(view.outputs),
        "code_digest": view.code_digest,
        "git": dict(view.git) if view.git else None,
        "steps": [step_object(step) for step in view.steps],
        "metrics": {step.name: dict(step.metrics) for step in view.steps if step.metrics},
        "models": [asdict(one) | {"uri": one.uri} for one in found.versions],
        "gates": [asdict(one) for one in found.decisions],
        "endpoints": [asdict(one) for one in found.endpoints],
        "error": failure_object(view.error),
        "folder": str(folder),
    }


def run_line(view: RunView, *, folder: Path) -> dict[str, Any]:
    """One run of a list: as `run_object`, less `outputs`, `source` and `git`.

    `steps` counts the steps by state.
    """
    whole = run_object(view, folder=folder)
    counts = Counter(step.state.value for step in view.steps)
    left_out = ("steps", "outputs", "source", "git")
    return {key: whole[key] for key in whole if key not in left_out} | {"steps": dict(counts)}


def step_object(step: StepView) -> dict[str, Any]:
    """One step.

    Keys: `step` (id), `name`, `engine`, `state`, `attempt`, `seconds`, `reused_from`, `reason`,
    `outputs` (parameters), `artifacts` ({name: [uri]}), `logs`, `error`.
    """
    return {
        "step": step.step,
        "name": step.name,
        "engine": step.engine,
        "state": step.state.value,
        "attempt": step.attempt,
        "seconds": step.seconds,
        "reused_from": step.reused_from,
        "reason": step.reason,
        "outputs": dict(step.outputs),
        "artifacts": {
            name: [artifact.get("uri") for artifact in listed]
            for name, listed in step.artifacts.items()
        },
        "logs": list(step.logs),
        "error": failure_object(step.error),
    }


def failure_object(failure: Failure | None) -> dict[str, Any] | None:
    """An error with its keys as the journal has them."""
    return asdict(failure) | {"where": list(failure.where)} if failure else None
