"""Progress for logs and pipes: a line at each step's start and end, nothing that moves."""

from __future__ import annotations

import time

from headrace.cli.progress import Event
from headrace.cli.render.quantities import count, duration
from headrace.cli.render.rows import step_text
from headrace.cli.view import RunView
from headrace.core.states import State


def progress_line(view: RunView, event: Event) -> str | None:
    """The line for the event that led to `view`, or None for one that is not worth a line."""
    told = _told(view, event)
    if told is None:
        return None
    return f"{time.strftime('%H:%M:%S', time.localtime(event['time']))} {told}"


def _told(view: RunView, event: Event) -> str | None:
    if event["type"] == "run_started":
        return f"run {view.name} of {view.pipeline} started, {count(view.total, 'step')}"
    step = view.step(event.get("step", ""))
    if step is None:
        return None
    match event["type"]:
        case "step_started":
            again = f", attempt {step.attempt}" if step.attempt > 1 else ""
            return f"{step.name} started ({step.engine}{again})"
        case "step_note":
            return f"{step.name}: {step.note}"
        case "step_finished":
            if step.state in (State.REUSED, State.SKIPPED):
                text = step_text(step)
                return f"{step.name} {text if text.startswith('reused') else f'skipped: {text}'}"
            text = f": {step_text(step)}" if step_text(step) else ""
            return f"{step.name} {step.state.value} after {duration(step.seconds)}{text}"
        case _:
            return None
