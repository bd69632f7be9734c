"""Lines of a cluster's run: what lies here, what its pods say now, what its store keeps."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from headrace.cli.choosing import choose_steps
from headrace.cli.cluster.finding import QUIET_SECONDS, Found
from headrace.cli.tailing import Line, whole_file
from headrace.cli.telling import read_view
from headrace.cli.view import StepView
from headrace.core.errors import HeadraceError
from headrace.operating import kept_logs, recalling, seeing, tapping
from headrace.operating.seen import OVER

if TYPE_CHECKING:
    from headrace.cluster.client import Manifest
    from headrace.operating.kept_logs import KeptLog
    from headrace.operating.tapping import Source

ALL = "all"


_ENGINES = ("spark", "ray")
_LOOK_SECONDS = 1.0


def needs_site(run: Found, steps: Iterable[StepView], source: str) -> bool:
    """Whether what lies on this machine may not be all there is."""
    if run.folder is None or run.view.killed:
        return True
    return source != "driver" and any(one.engine in _ENGINES for one in steps)


def afterwards(
    run: Found, steps: Iterable[StepView], source: str, tail: int | None
) -> Iterator[Line]:
    """Every log of some steps, one after the other: a step's own first, then its other pods'.

    Raises:
        HeadraceError: The store does not answer.
    """
    for step in steps:
        for name, lines in _logs(run, step, source):
            shown = deque(lines, maxlen=tail) if tail else lines
            yield from (Line(step=step.name, source=name, text=text) for text in shown)


def _logs(run: Found, step: StepView, source: str) -> Iterator[tuple[str, list[str]]]:
    """Who has written a log, and its lines."""
    kept = _kept(run, step)
    live = _live(run, step)
    name = "driver" if step.engine in _ENGINES else ""
    if source in (ALL, "driver"):
        yield from ((name, lines) for lines in _own(run, step, kept, live))
    read: set[tuple[int, str]] = set()
    for pod in live:
        who = tapping.source_of(pod)
        if who.kind != "driver" and source in (ALL, who.kind):
            read.add((seeing.pod_seen(pod).attempt, who.name))
            yield who.name, _now(run, pod)
    for log in kept:
        known = (log.attempt, log.source.name) in read
        if log.source.kind != "driver" and source in (ALL, log.source.kind) and not known:
            yield log.source.name, _read(run, log)


def _own(
    run: Found, step: StepView, kept: list[KeptLog], live: list[Manifest]
) -> Iterator[list[str]]:
    """The step's own log, from where it is most complete."""
    here: list[str] = []
    if run.folder is not None:
        here = [line for log in step.logs for line in whole_file(run.folder / log)]
    if here and not run.view.killed:
        yield here
        return
    drivers = [one for one in live if tapping.source_of(one).kind == "driver"]
    in_store = [one for one in kept if one.source.kind == "driver"]
    yield from (_read(run, one) for one in in_store)
    yield from (_now(run, one) for one in drivers)
    if not drivers and not in_store:
        yield here


def _live(run: Found, step: StepView) -> list[Manifest]:
    """The step's pods that have not ended; what an ended one wrote lies in the store."""
    found = run.seen.manifests if run.seen else ()
    mine = [one for one in found if seeing.belongs(seeing.step_of(one), step.step)]
    return [one for one in mine if one.get("status", {}).get("phase") not in OVER]


def _kept(run: Found, step: StepView) -> list[KeptLog]:
    if run.there is None or run.there.store is None:
        return []
    return kept_logs.kept_logs(run.there.store, run.kfp_run or run.view.run, step.step)


def _now(run: Found, pod: Manifest) -> list[str]:
    return tapping.whole(run.there.cluster, pod) if run.there and run.there.cluster else []


def _read(run: Found, log: KeptLog) -> list[str]:
    return log.lines(run.there.store) if run.there and run.there.store else []


def following(run: Found, step: str | None, source: str) -> Iterator[Line]:
    """Lines of all of the run's pods as they write them, those included that are yet to come.

    Raises:
        HeadraceError: The cluster does not answer.
    """
    there = run.there
    if there is None or there.cluster is None:
        problem = there.problem if there else None
        raise problem or HeadraceError("The run's cluster is not known.")
    chosen = choose_steps(run.view, step) if step else run.view.steps
    done = [one for one in chosen if one.state.done]
    yield from afterwards(run, done, source, None)
    watch = _Watch(run, step, source, done)
    selectors = seeing.selectors(run.view.run, run.kfp_run)
    for line in tapping.follow(there.cluster, selectors, watch.wanted, watch.over):
        yield watch.line(line)


class _Watch:
    """Which pods are to be followed, and for how long."""

    def __init__(self, run: Found, step: str | None, source: str, done: Iterable[StepView]) -> None:
        self.run, self.step, self.source = run, step, source
        self.view = run.view
        self.done = [one.step for one in done]
        self.quiet_since: float | None = None
        self.looked = 0.0

    def wanted(self, pod: Manifest) -> bool:
        who = tapping.source_of(pod)
        if self.source not in (ALL, who.kind):
            return False
        told = any(seeing.belongs(who.step, one) for one in self.done)
        return not told and (self.step is None or self.means(who))

    def means(self, who: Source) -> bool:
        """Whether the step that was asked for is this one's."""
        name = self.name(who)
        bare = re.sub(r"\[\d+\]", "", name)
        return self.step in (who.step, name, bare) or name.startswith(self.step or "")

    def name(self, who: Source) -> str:
        known = (one.name for one in self.view.steps if seeing.belongs(who.step, one.step))
        return next(known, recalling.name_of(who.step))

    def line(self, line: tapping.PodLine) -> Line:
        who = line.source
        step = next((one for one in self.view.steps if seeing.belongs(who.step, one.step)), None)
        plain = who.kind == "driver" and (step is None or step.engine not in _ENGINES)
        return Line(step=self.name(who), source="" if plain else who.name, text=line.text)

    def over(self) -> bool:
        """Whether the run, or the step that was asked for, has come to its end."""
        if time.monotonic() - self.looked < _LOOK_SECONDS:
            return False
        self.looked = time.monotonic()
        if self.run.folder is None or self.run.view.killed:
            return self._quiet()
        self.view = read_view(self.run.folder)
        return self.view.state.done or self._step_done()

    def _step_done(self) -> bool:
        if not self.step:
            return False
        return all(one.state.done for one in choose_steps(self.view, self.step))

    def _quiet(self) -> bool:
        """Nobody here knows the run's end: it counts as over when its pods are gone."""
        assert self.run.there and self.run.there.cluster
        try:
            pods = seeing.pods_of(self.run.there.cluster, self.view.run, self.run.kfp_run)
        except HeadraceError:
            return False
        if any(one.get("status", {}).get("phase") not in OVER for one in pods):
            self.quiet_since = None
            return False
        self.quiet_since = self.quiet_since or time.monotonic()
        return time.monotonic() - self.quiet_since > QUIET_SECONDS
