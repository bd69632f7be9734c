"""What a cluster shows of a run: its pods with their troubles, its Ray clusters, warnings."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from headrace.cli.render.quantities import count
from headrace.cli.view import RunView
from headrace.operating.queued import POD, Queued
from headrace.operating.seeing import KFP_DRIVER, belongs
from headrace.operating.seen import PodSeen, RaySeen, Seen, Warned

_STYLES = {
    "Running": "cyan", "Pending": "yellow", "Failed": "bold red", "Succeeded": "green",
    "Terminating": "yellow",
}  # fmt: skip
_MOST_ALIKE = 6
"""More pods than that which differ in nothing but their number share a line."""
_MOST_WARNINGS = 6
_RECENT_SECONDS = 3600.0
_PROBE_SECONDS = 20.0
_ROLES = {
    "step": "step", "spark-executor": "executor", "ray-head": "ray head",
    "ray-worker": "ray worker", KFP_DRIVER: "KFP driver",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PodRow:
    """One line of the pods' table: a pod, or several alike."""

    pod: PodSeen
    """The pod, or the first of them."""
    count: int = 1
    """How many it stands for."""

    @property
    def title(self) -> str:
        """`executor 2`, or `12 executors`."""
        role = role_name(self.pod)
        if self.count > 1:
            return count(self.count, role)
        return f"{role} {self.pod.number}".rstrip()


def role_name(pod: PodSeen) -> str:
    """What people call a pod's role."""
    return _ROLES.get(pod.role, pod.role.replace("-", " "))


def sights(seen: Seen, view: RunView, *, now: float) -> Iterator[RenderableType]:
    """Everything that a cluster shows, in sections; nothing where there is nothing."""
    if rows := pod_rows(seen.pods):
        yield from _section("pods", pod_lines(rows, view))
    if seen.ray:
        yield from _section("Ray", ray_lines(seen.ray, view))
    if whole := [one for one in seen.queued if one.kind != POD]:
        yield from _section("queued", queue_lines(whole, view))
    told = {f"pod/{one.name}" for one in seen.pods if one.reason}
    news = [one for one in seen.warnings if _is_news(one, now) and one.about not in told]
    if news:
        yield from _section("warnings", warning_lines(news[-_MOST_WARNINGS:]))


def _is_news(warned: Warned, now: float) -> bool:
    """Whether a warning still matters. Probes fail while a container starts; then they do not."""
    limit = _PROBE_SECONDS if warned.reason == "Unhealthy" else _RECENT_SECONDS
    return now - warned.time < limit


def pod_rows(pods: Sequence[PodSeen]) -> list[PodRow]:
    """A line for each pod, but one for many that are alike.

    What KFP does between the steps is told only while it is at work or has failed.
    """
    pods = [one for one in pods if (one.role, one.phase) != (KFP_DRIVER, "Succeeded")]
    alike = Counter(_kind(one) for one in pods)
    rows: list[PodRow] = []
    told: set[tuple[str, ...]] = set()
    for pod in pods:
        kind = _kind(pod)
        if alike[kind] <= _MOST_ALIKE:
            rows.append(PodRow(pod=pod))
        elif kind not in told:
            told.add(kind)
            rows.append(PodRow(pod=replace(pod, name=f"{pod.name}, …"), count=alike[kind]))
    return rows


def _kind(pod: PodSeen) -> tuple[str, ...]:
    return (pod.step, pod.role, pod.phase, pod.reason, pod.cpu, pod.memory, str(pod.restarts))


def pod_lines(rows: Sequence[PodRow], view: RunView) -> list[RenderableType]:
    """A line per pod, beneath it why it waits or how it went wrong."""
    heads = aligned([_pod_cells(row, view) for row in rows])
    lines: list[RenderableType] = []
    for row, head in zip(rows, heads, strict=True):
        lines.append(head)
        style = "yellow" if row.pod.active else "red"
        if row.pod.reason:
            lines.append(Padding(Text(row.pod.reason, style=style), (0, 0, 0, 2)))
            remedy = Text.assemble(("try ", "dim"), row.pod.remedy)
            lines.append(Padding(remedy, (0, 0, 0, 2)))
    return lines


def _pod_cells(row: PodRow, view: RunView) -> list[Text]:
    pod = row.pod
    again = f"restarted {pod.restarts}× " if pod.restarts else ""
    return [
        Text(_step_name(pod.step, view), style="bold"),
        Text(row.title),
        Text(pod.phase, style=_STYLES.get(pod.phase, "")),
        Text(asks(pod), style="dim"),
        Text(pod.node, style="dim"),
        Text.assemble((again, "yellow"), (pod.name, "dim")),
    ]


def asks(pod: PodSeen) -> str:
    """What it asks for: `0.5 cpu, 2Gi`.

    >>> from headrace.cli.render.sights import cores
    >>> cores("500m"), cores("2"), cores("")
    ('0.5', '2', '')
    """
    parts = [f"{cores(pod.cpu)} cpu" if pod.cpu else "", pod.memory]
    return ", ".join(filter(None, parts))


def cores(text: str) -> str:
    """Cores as a number."""
    if text.endswith("m") and text[:-1].isdigit():
        return f"{int(text[:-1]) / 1000:g}"
    return text


def ray_lines(clusters: Sequence[RaySeen], view: RunView) -> list[RenderableType]:
    """A line per Ray cluster."""
    heads = aligned(
        [
            [
                Text(_step_name(one.step, view), style="bold"),
                Text(one.state),
                Text(f"{one.ready} of {count(one.wanted, 'worker')} ready"),
                Text(one.name, style="dim"),
            ]
            for one in clusters
        ]
    )
    lines: list[RenderableType] = []
    for one, head in zip(clusters, heads, strict=True):
        lines.append(head)
        if one.reason:
            lines.append(Padding(Text(one.reason, style="red"), (0, 0, 0, 2)))
    return lines


def queue_lines(queued: Iterable[Queued], view: RunView) -> list[RenderableType]:
    """What has no pods yet because a queue has not admitted it, and why."""
    lines: list[RenderableType] = []
    for one in queued:
        name = Text(f"{_step_name(one.step, view)}  ", style="bold")
        lines.append(_cut(name.append(f"{one.kind} {one.name}", style="dim")))
        lines.append(Padding(Text(one.reason, style="yellow"), (0, 0, 0, 2)))
        lines.append(Padding(Text.assemble(("try ", "dim"), one.remedy), (0, 0, 0, 2)))
    return lines


def warning_lines(warnings: Iterable[Warned]) -> list[RenderableType]:
    """Kubernetes' warnings, the newest last."""
    lines: list[RenderableType] = []
    for one in warnings:
        often = f" ×{one.count}" if one.count > 1 else ""
        when = time.strftime("%H:%M:%S", time.localtime(one.time))
        head = Text.assemble((f"{when}  ", "dim"), (f"{one.reason}{often}", "yellow"))
        lines.append(_cut(head.append(f"  {one.about}", style="dim")))
        lines.append(Padding(Text(one.text), (0, 0, 0, 2)))
    return lines


def aligned(rows: Sequence[Sequence[Text]]) -> list[Text]:
    """Lines whose cells stand below one another; the last cell is cut where the screen ends."""
    widths = [
        max((cell.cell_len for cell in column), default=0) for column in zip(*rows, strict=True)
    ]
    lines = []
    for row in rows:
        line = Text()
        for cell, width in zip(row[:-1], widths, strict=False):
            if width:
                line.append_text(cell).append(" " * (width - cell.cell_len + 2))
        lines.append(_cut(line.append_text(row[-1])))
    return lines


def _step_name(step: str, view: RunView) -> str:
    return next((one.name for one in view.steps if belongs(step, one.step)), step)


def _section(title: str, lines: Iterable[RenderableType]) -> Iterator[RenderableType]:
    yield Text()
    yield Text(title, style="dim")
    yield from (Padding(line, (0, 0, 0, 2)) for line in lines)


def _cut(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
