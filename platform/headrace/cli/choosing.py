"""Finds the steps that a person means by a name."""

from __future__ import annotations

import re

from headrace.cli.view import RunView, StepView
from headrace.core.errors import UsageError, did_you_mean


def choose_steps(view: RunView, text: str) -> tuple[StepView, ...]:
    """The steps that `text` means: an id or name; a loop's name without an index means all of it.

    Raises:
        UsageError: No step fits; near misses are named.
    """
    tries = (
        lambda step: text in (step.step, step.name),
        lambda step: re.sub(r"\[\d+\]", "", step.name) == text,
        lambda step: step.name.startswith(text),
    )
    for fits in tries:
        if found := tuple(step for step in view.steps if fits(step)):
            return found
    raise UsageError(
        f"Run {view.run} has no step {text!r}.",
        hint=did_you_mean(text, {step.name for step in view.steps}),
    )
