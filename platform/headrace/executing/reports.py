"""What a running step tells its runner: metrics and notes, a JSON line each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headrace.executing.context import context

FILE = "reports.jsonl"
"""The file in the step's work folder."""


def metrics(values: Mapping[str, float], index: int) -> None:
    """Report metrics of epoch or step `index`."""
    _write({"type": "step_metric", "metrics": dict(values), "index": index})
    shown = "  ".join(f"{key} {value:.6g}" for key, value in values.items())
    print(f"[{index}] {shown}", flush=True)


def note(text: str) -> None:
    """Say something short about how the step is going."""
    _write({"type": "step_note", "text": text})
    print(f"headrace: {text}", flush=True)


def _write(report: Mapping[str, Any]) -> None:
    work = context().work
    if work is not None:
        with (work / FILE).open("a") as out:
            out.write(json.dumps(report) + "\n")
