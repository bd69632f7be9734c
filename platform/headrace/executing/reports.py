"""What a running step tells its runner: metrics and notes, a JSON line each.

On one machine the lines go to a file in the step's work folder. A pod's only line to the
runner is its log, so there they go to standard output, behind a mark.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from headrace.executing.context import KFP_POD, context, in_pod

FILE = "reports.jsonl"
"""The file in the step's work folder."""
MARK = "::headrace:: "
"""What begins a report's line in a pod's log."""


def metrics(values: Mapping[str, float], index: int) -> None:
    """Report metrics of epoch or step `index`."""
    _write({"type": "step_metric", "metrics": dict(values), "index": index})
    shown = "  ".join(f"{key} {value:.6g}" for key, value in values.items())
    print(f"[{index}] {shown}", flush=True)


def note(text: str) -> None:
    """Say something short about how the step is going."""
    _write({"type": "step_note", "text": text})
    print(f"headrace: {text}", flush=True)


def failed(error: Mapping[str, Any]) -> None:
    """Say why the step fails, where KFP's launcher is the only one to see it."""
    if context().work is None and KFP_POD in os.environ:
        _write({"type": "step_failed", "error": dict(error)})


def read(line: str) -> dict[str, Any] | None:
    """The report that a line of a pod's log carries, or None if it is an ordinary line."""
    if not line.startswith(MARK):
        return None
    try:
        report = json.loads(line.removeprefix(MARK))
    except ValueError:  # cut short when its writer was killed
        return None
    return report if isinstance(report, dict) else None


def _write(report: Mapping[str, Any]) -> None:
    work = context().work
    if work is not None:
        with (work / FILE).open("a") as out:
            out.write(json.dumps(report) + "\n")
    elif in_pod():
        print(f"{MARK}{json.dumps(report)}", flush=True)
