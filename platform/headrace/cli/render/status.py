"""Where a run stands: its steps, and on a cluster what there is of it at this moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from headrace.cli.cluster.finding import Found
from headrace.cli.render.failure import stopped_at_gate
from headrace.cli.render.machine import failure_object, step_object
from headrace.cli.render.marks import mark, style
from headrace.cli.render.quantities import count
from headrace.cli.render.rows import rows
from headrace.cli.render.sights import sights
from headrace.cli.render.steps import steps_table
from headrace.cli.render.summary import headline
from headrace.core.states import State
from headrace.operating.seeing import belongs
from headrace.operating.seen import PodSeen

_AROUND = 6
UNKNOWN = "unknown"
"""The state of a run that another machine has begun, and whose end nobody here can know."""


def status_picture(
    run: Found, *, now: float, home_words: str = "", height: int | None = None
) -> RenderableType:
    """The whole picture.

    Args:
        run: The run, with what its site shows.
        now: Unix seconds.
        home_words: What to put behind a command so that it finds the run's home.
        height: Lines of the screen, if steps are to make room.
    """
    view = run.view
    parts: list[RenderableType] = [head(run, now=now)]
    if view.where:
        parts.append(Text(f"  on {view.where}", style="dim"))
    room = None if height is None else max(3, height - _AROUND)
    lines = rows(view, now=now, room=room)
    if lines:
        parts += [Text(), steps_table(lines)]
    if run.seen:
        parts += sights(run.seen, view, now=now)
    parts += _below(run, home_words)
    return Group(*parts)


def head(run: Found, *, now: float) -> Text:
    """The first line: how it stands."""
    if state_of(run) != UNKNOWN:
        return headline(run.view, now=now)
    done = sum(step.state.good for step in run.view.steps)
    return Text.assemble(
        (f"{mark(State.PENDING)} ", style(State.PENDING)),
        (run.view.pipeline, "bold"),
        f" has {count(done, 'step')} done, and nothing of it is at work",
        (f"   run {run.view.name}", "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )


def state_of(run: Found) -> str:
    """The run's state in one word."""
    active = run.seen is not None and run.seen.active
    if run.elsewhere and not run.view.state.done and not active:
        return UNKNOWN
    return run.view.label


def _below(run: Found, home_words: str) -> Iterator[RenderableType]:
    """What is missing, and what to do next."""
    view, there = run.view, run.there
    if there and there.problem:
        yield Text()
        yield Text(f"The site is not seen whole: {there.problem.what}", style="yellow")
    hints = list(_hints(run, home_words))
    if hints:
        yield Text()
    yield from (Text(one, style="dim", no_wrap=True, overflow="ignore") for one in hints)
    if view.killed and view.site and run.seen and not run.seen.active:
        yield Text("Nothing of it is at work any more.", style="dim")


def _hints(run: Found, home_words: str) -> Iterator[str]:
    view = run.view
    words = home_words if run.folder else f" --on {view.site['context']}" if view.site else ""
    if run.elsewhere and view.site and view.site.get("namespace"):
        words += f" -n {view.site['namespace']}"
    seen = run.seen
    waits = seen is not None and bool(seen.queued or any(one.reason for one in seen.pods))
    if (view.state is State.FAILED and not stopped_at_gate(view)) or waits:
        yield f"headrace why {view.name}{words}"
    if view.killed and view.site:
        yield "the same command again picks it up"
        yield f"headrace cancel {view.name}{words}"


def status_object(run: Found) -> dict[str, Any]:
    """The same for programs.

    Keys: `run`, `name`, `pipeline`, `state` (a State, `killed` or `unknown`), `site`, `started`,
    `seconds`, `begun_here`, `steps` (as in `headrace runs`, with `started`, `note`, `live` and
    `pods`: role, number, name, phase, node, restarts, cpu, memory, reason, remedy, attempt),
    `ray` (name, step, state, ready, wanted, reason), `queued` (kind, name, step, cause, reason,
    remedy: what a queue has not admitted), `warnings` (time, about, reason, text,
    count), `error` (the run's), `problem` (why the site is not seen whole; or null).
    """
    view, seen, there = run.view, run.seen, run.there
    pods = seen.pods if seen else ()
    return {
        "run": view.run,
        "name": view.name,
        "pipeline": view.pipeline,
        "state": state_of(run),
        "site": dict(view.site) if view.site else None,
        "started": view.started,
        "seconds": view.seconds,
        "begun_here": not run.elsewhere,
        "steps": [
            {
                **step_object(step),
                "started": step.started,
                "note": step.note,
                "live": dict(step.live),
                "pods": [pod_object(one) for one in pods if belongs(one.step, step.step)],
            }
            for step in view.steps
        ],
        "ray": [vars_of(one) for one in seen.ray] if seen else [],
        "queued": [vars_of(one) for one in seen.queued] if seen else [],
        "warnings": [vars_of(one) for one in seen.warnings] if seen else [],
        "error": failure_object(view.error),
        "problem": there.problem.what if there and there.problem else None,
    }


def pod_object(pod: PodSeen) -> dict[str, Any]:
    """A pod for programs."""
    return {key: one for key, one in vars_of(pod).items() if key != "step"}


def vars_of(thing: Any) -> dict[str, Any]:
    """A dataclass as a mapping."""
    from dataclasses import asdict

    return asdict(thing)


def signature(run: Found) -> tuple[Any, ...]:
    """Differs when something worth telling has changed: clocks do not count."""
    view, seen = run.view, run.seen
    steps = tuple((one.step, one.state, one.attempt, one.note, one.index) for one in view.steps)
    pods = (
        tuple((one.name, one.phase, one.restarts, one.reason) for one in seen.pods) if seen else ()
    )
    ray = (*seen.ray, *seen.queued) if seen else ()
    problem = run.there.problem.what if run.there and run.there.problem else ""
    return (view.state, view.killed, steps, pods, ray, problem)
