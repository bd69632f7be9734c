"""Why a run did not succeed, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headrace.cli.render.quantities import count, duration
from headrace.cli.view import Failure, RunView, StepView
from headrace.core.errors import GateFailed
from headrace.core.states import State

_TOLD_IN_FULL = 2
_TRACEBACK_LINES = 12
_ERROR_LINES = 6
_ERROR_CHARACTERS = 700
BUNDLE = re.compile(r"[^\s\"'(]*/code/[0-9a-f]{64}/")
"""Where a step found the project's code: what follows is the path as its author knows it."""


def failed_steps(view: RunView) -> list[StepView]:
    """The steps that failed, in the order of their start."""
    return [step for step in view.steps if step.state is State.FAILED]


def stopped_at_gate(view: RunView) -> bool:
    """Whether everything worked and a promotion was refused."""
    return view.state is State.FAILED and view.exit_code == GateFailed.exit_code


def failure_lines(view: RunView, *, folder: Path, home_words: str = "") -> list[RenderableType]:
    """What went wrong, a block for each of the first failed steps.

    Args:
        view: A run that failed, was cancelled or was killed.
        folder: The run's folder, as it should be shown.
        home_words: What to put behind a command so that it finds the run's home.
    """
    failed = failed_steps(view)
    lines: list[RenderableType] = []
    for step in failed[:_TOLD_IN_FULL]:
        lines += _step_block(step, view, folder, home_words)
    if rest := failed[_TOLD_IN_FULL:]:
        lines.append(Text(f"also failed: {', '.join(step.name for step in rest)}", style="red"))
    if view.error and not _told_already(view, failed):
        lines += list(_error_block(view.error))
    if view.killed:
        lines += _killed_lines(view, home_words)
    return lines


def _killed_lines(view: RunView, home_words: str) -> Iterator[RenderableType]:
    pid = f" (process {view.pid})" if view.pid else ""
    if view.site:
        yield Text(f"Its client{pid} went without a word; what it began on {view.where} goes on.")
        yield _labelled("try", "the same command again picks it up")
        yield _labelled("", f"headrace cancel {view.name}{home_words} ends it")
        return
    yield Text(f"The run{pid} ended without a word: it was killed, or the power went.")
    yield _labelled("try", f"headrace clean{home_words} stops whatever it may have left running")


def _told_already(view: RunView, failed: Sequence[StepView]) -> bool:
    """Whether the run's own error says nothing that its steps or its headline do not say."""
    what = view.error.what if view.error else ""
    told = (step.error.what for step in failed if step.error)
    return view.state is State.CANCELLED or any(what in one or one in what for one in told)


def _step_block(
    step: StepView, view: RunView, folder: Path, home_words: str
) -> Iterator[RenderableType]:
    if not stopped_at_gate(view):
        yield Text.assemble(
            (f"✘ {step.name}", "bold red"),
            (" failed", "red"),
            (f"  {step.engine}, {_when(step)}", "dim"),
        )
    if step.error:
        log = step.logs[-1] if step.logs else "no log"
        elsewhere = tuple(one for one in step.error.where if not one.endswith(log))
        yield from _error_block(replace(step.error, where=elsewhere))
    if step.logs and not stopped_at_gate(view):
        yield _labelled("log", f"{folder / step.logs[-1]}")
        yield _labelled("", f"headrace logs {view.name} {step.name}{home_words}")


def _when(step: StepView) -> str:
    after = f"after {duration(step.seconds)}" if step.seconds is not None else "at its start"
    return f"{after}, attempt {step.attempt}" if step.attempt > 1 else after


def _error_block(error: Failure) -> Iterator[RenderableType]:
    traceback = dedent(BUNDLE.sub("", error.traceback)).rstrip().splitlines()
    if len(traceback) > _TRACEBACK_LINES:
        traceback = ["…", *traceback[-_TRACEBACK_LINES:]]
    yield from (Text(f"  {line}", style="dim") for line in traceback)
    what = BUNDLE.sub("", error.what)
    yield Padding(Text(shortened(what), style="red"), (0, 0, 0, 2), expand=False)
    for place in error.where:
        yield _labelled("at", place)
    if error.hint:
        yield _labelled("try", error.hint)


def shortened(what: str) -> str:
    """The beginning of an error's text: some libraries write whole pages. The log has it all."""
    lines = [line for line in what.splitlines() if line.strip()]
    text = "\n".join(lines[:_ERROR_LINES])
    cut = len(lines) > _ERROR_LINES or len(text) > _ERROR_CHARACTERS
    return f"{text[:_ERROR_CHARACTERS].rstrip()} …" if cut else text


def _labelled(label: str, text: str) -> Table:
    line = Table.grid(pad_edge=False)
    line.add_column(width=6, style="dim")
    line.add_column(overflow="fold")
    line.add_row(f"  {label}", Text(text))
    return line


def next_line(view: RunView) -> str:
    """What running again would do, or empty where there is nothing to gain."""
    if view.state.good or view.state is State.RUNNING or stopped_at_gate(view):
        return ""
    done = sum(step.state.good for step in view.steps)
    # A run that has lost its client is picked up under its own name.
    renamed = view.named and not (view.site and view.killed)
    command = "the same command with another --name" if renamed else "the same command"
    return f"{command} continues after {count(done, 'complete step')}" if done else ""
