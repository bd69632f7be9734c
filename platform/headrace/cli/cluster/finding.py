"""Which run a person means, on this machine or on a site, and what can be reached of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from headrace.cli.progress import fold
from headrace.cli.telling import read_view
from headrace.cli.view import RunView, StepView
from headrace.cluster.errors import ClusterProblem
from headrace.core.errors import HeadraceError, UsageError, did_you_mean
from headrace.core.states import State
from headrace.operating import on_kubeflow, recalling, seeing
from headrace.operating.access import Access, access
from headrace.operating.seen import Seen
from headrace.running.kubeflow.listing import Listed
from headrace.sites.home import Home
from headrace.sites.journal import Event, RunRecord, choose, find_run, list_runs, read_events

_MOST_NAMED = 20
_KFP_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
QUIET_SECONDS = 10.0
"""For how long nothing of a run without a client may be at work until it counts as over."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A run, and how much is known of it here."""

    view: RunView
    """The run as its journal tells, or as its site remembers it."""
    events: Sequence[Event]
    """The journal, or what was put together of it."""
    folder: Path | None
    """Its folder on this machine; None for a run that was begun elsewhere."""
    there: Access | None = None
    """Its site; None for a run on this machine, or where nobody has looked."""
    seen: Seen | None = None
    """What the cluster shows of it; None where nobody has looked or it does not answer."""

    @property
    def elsewhere(self) -> bool:
        """Whether another machine has begun it."""
        return self.folder is None

    @property
    def over(self) -> bool:
        """Whether its end is known, and nothing of it is seen at work."""
        return self.view.state.done and not self.view.killed

    @property
    def kfp_run(self) -> str:
        """Kubeflow Pipelines' id of it; empty if that does not drive it."""
        return kfp_run(self.view)


def kfp_run(view: RunView) -> str:
    """Kubeflow Pipelines' id of a run; empty if that does not drive it."""
    return view.run if (view.site or {}).get("driver") == "kfp" else ""


def at_work(run: Found) -> bool:
    """Whether a run's site may know more than its journal."""
    return not run.over


Wanted = Callable[[Found], bool]
"""Says of a run whether its site is to be asked."""


@contextmanager
def found(
    home: Home, text: str, on: str | None, namespace: str, *, wanted: Wanted = at_work
) -> Iterator[Found]:
    """The run that `text` means, with its site where it has one.

    Args:
        home: Where runs of this machine are recorded.
        text: An id, a unique beginning or part of one, or `latest`.
        on: A site to look at, for runs that were begun elsewhere too.
        namespace: Its namespace.
        wanted: Whether the site of a run of this machine is to be asked at all.

    Raises:
        UsageError: None or several runs fit.
        EnvironmentProblem: The site had to be asked and does not answer.
    """
    if on is None:
        local = begun_here(find_run(home, text).folder)
        if not local.view.site or not wanted(local):
            yield local
            return
        with access(local.view.site) as there:
            yield look(local, there)
        return
    with access({"context": on, "namespace": namespace}) as there:
        run, folder = _on_site(home, text, there)
        yield look(begun_here(folder), there) if folder else _recalled(run, there)


def is_over(run: Found, *, quiet_seconds: float) -> bool:
    """Whether nothing more is to be expected of a run.

    The end of a run whose client is gone or elsewhere is not written down here: it counts as
    over when its pods have been gone for a while.
    """
    if run.over or (run.view.killed and not run.view.site):
        return True
    return (run.elsewhere or run.view.killed) and quiet_seconds > QUIET_SECONDS


def again(run: Found) -> Found:
    """The same run as it stands now, over the same ways."""
    if run.folder is None:
        assert run.there is not None
        return _recalled(run.view.run, run.there)
    fresh = begun_here(run.folder)
    return (
        look(fresh, run.there) if run.there and at_work(fresh) else replace(fresh, there=run.there)
    )


def begun_here(folder: Path) -> Found:
    """A run of this machine."""
    return Found(view=read_view(folder), events=read_events(folder), folder=folder)


def look(run: Found, there: Access) -> Found:
    """The run with what its site shows of it now."""
    if there.cluster is None:
        return replace(run, there=there)
    try:
        seen = seeing.look(there.cluster, run.view.run, kfp_run=run.kfp_run)
    except ClusterProblem as problem:
        return replace(run, there=replace(there, problem=problem))
    view = _without_client(run, there, seen) if run.view.killed else run.view
    return replace(run, view=view, there=there, seen=seen)


def _without_client(run: Found, there: Access, seen: Seen) -> RunView:
    """A run whose client is gone: its pods may have gone on, and have ended since."""
    assert run.view.site
    try:
        events = on_kubeflow.recall(there, run.kfp_run, run.view.site) if run.kfp_run else []
        events = events or recalling.recall(there.store, run.view.run, seen, run.view.site)
    except HeadraceError:
        return run.view
    since, before = fold(events), fold(run.events)
    steps = (_later(now, before.step(now.step), since.step(now.step)) for now in run.view.steps)
    return replace(run.view, steps=tuple(steps))


def _later(now: StepView, before: StepView | None, since: StepView | None) -> StepView:
    """What the site knows of a step that was at work when the client went."""
    if before is None or since is None or before.state is not State.RUNNING:
        return now
    state, reason = since.state, since.reason
    return replace(before, state=state, reason=reason, error=since.error, seconds=since.seconds)


def same_site(record: RunRecord, there: Access) -> bool:
    """Whether a run of this machine took place on that site."""
    site = site_of(record)
    return (site.get("context"), site.get("namespace")) == (there.context, there.namespace)


def site_of(record: RunRecord) -> Mapping[str, str]:
    """Context and namespace of a run's site; nothing for one on this machine."""
    starts = [one for one in read_events(record.folder) if one["type"] == "run_started"]
    return (starts[-1].get("site") if starts else None) or {}


def _on_site(home: Home, text: str, there: Access) -> tuple[str, Path | None]:
    """The id of the run that is meant, and its folder if it was begun here."""
    here = [one for one in list_runs(home) if same_site(one, there)]
    local = {one.run_id: one.folder for one in here}
    if text in local:
        return text, local[text]
    if there.problem and there.cluster is None:
        raise there.problem
    if _KFP_ID.fullmatch(text):  # the server may know it, however old it is
        return text, None
    try:
        listed, silence = on_kubeflow.listing(there), None
    except HeadraceError as problem:
        listed, silence = [], problem
    try:
        run = _chosen(text, _known(here, listed, there), there)
    except UsageError as error:
        raise silence or error from None
    if silence and text == "latest" and run not in local:
        raise silence
    return run, local.get(run)


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A run that somebody remembers."""

    run_id: str
    called: str
    moment: str


def _known(here: Sequence[RunRecord], listed: Sequence[Listed], there: Access) -> list[_Known]:
    """All runs of a site that are remembered anywhere, oldest first."""
    found = {
        one.run: _Known(run_id=one.run, called=one.called, moment=recalling.stamp(one.created))
        for one in listed
    }
    for record in here:
        moment = recalling.stamp(record.started)
        found[record.run_id] = _Known(run_id=record.run_id, called=record.called, moment=moment)
    for run in recalling.runs_of(there.cluster, there.store) - set(found):
        found[run] = _Known(run_id=run, called=run, moment=recalling.moment(run, there.store))
    return sorted(found.values(), key=lambda one: (one.moment, one.called))


def _chosen(text: str, known: Sequence[_Known], there: Access) -> str:
    if text == "latest" and known:
        return known[-1].run_id
    if (found := choose(text, known)) is not None:
        return found.run_id
    what = "There is no run there yet." if text == "latest" else f"There is no run {text!r}."
    few = [one.called for one in known[-_MOST_NAMED:]]
    raise UsageError(what, where=there.where, hint=did_you_mean(text, few) or "headrace run")


def _recalled(run: str, there: Access) -> Found:
    kfp = run if _KFP_ID.fullmatch(run) else ""
    seen = seeing.look(there.cluster, run, kfp_run=kfp) if there.cluster else Seen()
    site = {"context": there.context, "namespace": there.namespace}
    site |= {"driver": "kfp"} if kfp else {}
    events = on_kubeflow.recall(there, kfp, site) if kfp else []
    events = events or recalling.recall(there.store, run, seen, site)
    return Found(view=fold(events), events=events, folder=None, there=there, seen=seen)
