"""Tells what becomes of a KFP run's steps in the journal's events, look by look, each once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from headrace.core.states import State
from headrace.running.artifacts import Outputs
from headrace.running.kubeflow import podlog
from headrace.running.kubeflow.podlog import PodLog
from headrace.running.kubeflow.values import inputs_of, metrics_of, outputs_of
from headrace.running.kubeflow.workflow import Pod, StepNow
from headrace.sites.journal import Event

_ORDINARY = ("", "PodInitializing", "ContainerCreating")
_LOOK_SECONDS = 3.0
_SHARE = 20


class Source(Protocol):
    """Where the account has what a workflow does not say."""

    def log(self, pod: str) -> str | None:
        """A pod's log so far; None if there is none."""

    def origin(self, execution: str) -> tuple[str, Outputs] | None:
        """The run that made an execution's result, and what it made; None if nobody knows."""


@dataclass(kw_only=True)
class _Told:
    """What was told of a step."""

    attempt: int = 0
    notes: set[str] = field(default_factory=set)
    metrics: int = 0
    finished: bool = False
    failed: set[int] = field(default_factory=set)
    look_again: float = 0.0


class Account:
    """The account of one run.

    Args:
        source: Answers what the workflow does not say.
        on_event: Told of every event.
        folder: The run's own folder, for logs; None to keep none.
        where: Namespace and server, for errors.
        known: Events that were told already, by an earlier client perhaps.
    """

    def __init__(
        self,
        source: Source,
        on_event: Callable[[Event], None],
        *,
        folder: Path | None,
        where: str,
        known: Iterable[Event] = (),
    ) -> None:
        self.made: dict[str, Outputs] = {}
        self.first_error: dict[str, Any] | None = None
        self._source = source
        self._on_event = on_event
        self._folder = folder
        self._where = where
        self._told: dict[str, _Told] = {}
        for event in known:
            self._remember(event)

    def tell(self, steps: Iterable[StepNow], *, cancelled: bool = False, over: bool = True) -> None:
        """Tell what is new since the last look.

        Args:
            steps: Where the steps stand now.
            cancelled: Whether the run was called off: what is ended because of it has not failed.
            over: Whether the run has ended, and nothing more will come.
        """
        for step in steps:
            told = self._told.setdefault(step.path, _Told())
            if told.finished:
                continue
            if step.state is State.SKIPPED:
                self._skip(step, cancelled=cancelled)
            elif step.state is State.REUSED:
                self._reuse(step)
            elif step.attempts:
                self._follow(step, told)
                self._conclude(step, cancelled=cancelled, over=over)
            elif step.state is State.FAILED:
                self._unprepared(step, cancelled=cancelled)

    def _follow(self, step: StepNow, told: _Told) -> None:
        for pod in step.attempts:
            if pod.attempt > told.attempt:
                self._start(step, pod)
            if pod.state is State.PENDING and pod.message not in _ORDINARY:
                self._note(step, f"waiting: {pod.message}")
            elif pod.state is State.RUNNING:
                self._look(step, pod, told)
            elif pod.state is State.FAILED and pod is not step.attempts[-1]:
                self._tried(step, pod, told)

    def _conclude(self, step: StepNow, *, cancelled: bool, over: bool) -> None:
        pod = step.attempts[-1]
        if (cancelled and pod.called_off) or (over and not step.state.done):
            self._read(step, pod)
            self._finish(step, pod, state=State.CANCELLED, given=pod.given)
        elif step.state is State.SUCCEEDED:
            log = self._read(step, pod)
            outputs = outputs_of(step, pod, log)
            if log is None:
                self._note(step, "what it made is known in part only: its log is gone")
            self._finish(step, pod, state=State.SUCCEEDED, outputs=outputs, given=pod.given)
        elif step.state is State.FAILED:
            error = self._error(step, pod)
            self._finish(step, pod, state=State.FAILED, error=error, given=pod.given)

    def _look(self, step: StepNow, pod: Pod, told: _Told) -> None:
        """Read what a running step reports; the longer its log, the more seldom."""
        began = time.monotonic()
        if began >= told.look_again:
            self._read(step, pod)
            now = time.monotonic()
            told.look_again = now + max(_LOOK_SECONDS, _SHARE * (now - began))

    def _tried(self, step: StepNow, pod: Pod, told: _Told) -> None:
        """An attempt that failed and was followed by another."""
        if pod.attempt not in told.failed:
            told.failed.add(pod.attempt)
            what = self._error(step, pod)["what"].partition("\n")[0]
            self._note(step, f"attempt {pod.attempt} of {step.most} failed: {what}")

    def _error(self, step: StepNow, pod: Pod) -> dict[str, Any]:
        log = self._read(step, pod) or podlog.read("")
        return podlog.describe(log, message=pod.message, where=self._places(step, pod))

    def _unprepared(self, step: StepNow, *, cancelled: bool) -> None:
        """KFP could not even work out the inputs of a step or group."""
        assert step.driver is not None
        if cancelled and step.driver.called_off:
            self._told[step.path].finished = True
            return
        log = podlog.read(self._source.log(step.driver.name) or "")
        where = [f"{self._where}, pod {step.driver.name}"]
        error = podlog.describe(log, message=step.driver.message, where=where)
        self._finish(step, step.driver, state=State.FAILED, error=error)

    def _reuse(self, step: StepNow) -> None:
        assert step.driver is not None
        log = podlog.read(self._source.log(step.driver.name) or "")
        run, outputs = self._source.origin(log.cached) or (None, Outputs())
        self._finish(
            step, step.driver, state=State.REUSED, outputs=outputs, given=log.given,
            reused_from=run,
        )  # fmt: skip

    def _skip(self, step: StepNow, *, cancelled: bool) -> None:
        self._told[step.path].finished = True
        if not cancelled:
            self._emit(
                type="step_finished", step=step.path, name=step.name, state=State.SKIPPED,
                seconds=0.0, error=None, reason=step.reason,
            )  # fmt: skip

    def _start(self, step: StepNow, pod: Pod) -> None:
        inputs = inputs_of(step, pod.given)
        self._emit(
            type="step_started", time=pod.started, step=step.path, name=step.name,
            engine=step.engine, attempt=pod.attempt, parameters=inputs.parameters,
            inputs=inputs.to_dict()["artifacts"], log=log_file(step.path, pod.attempt),
            fingerprint="",
        )  # fmt: skip

    def _note(self, step: StepNow, text: str) -> None:
        if text not in self._told[step.path].notes:
            self._emit(type="step_note", step=step.path, text=text)

    def _read(self, step: StepNow, pod: Pod) -> PodLog | None:
        """A pod's log; what the step has printed is kept, what it has reported handed on."""
        text = self._source.log(pod.name)
        if text is None:
            return None
        log = podlog.read(text)
        if self._folder is not None:
            file = self._folder / log_file(step.path, pod.attempt)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{line}\n" for line in log.lines), encoding="utf-8")
        metrics = [one for one in log.told if one.get("type") == "step_metric"]
        for one in metrics[self._told[step.path].metrics :]:
            self._emit(**{**one, "step": step.path})
        for one in log.told:
            if one.get("type") == "step_note":
                self._note(step, str(one.get("text")))
        return log

    def _finish(
        self,
        step: StepNow,
        pod: Pod,
        *,
        state: State,
        outputs: Outputs | None = None,
        given: Mapping[str, Any] | None = None,
        error: dict[str, Any] | None = None,
        reused_from: str | None = None,
    ) -> None:
        made, inputs = outputs or Outputs(), inputs_of(step, given or {})
        first = step.attempts[0] if step.attempts else pod
        ended = pod.ended or time.time()
        self._emit(
            type="step_finished", time=ended, step=step.path, name=step.name, engine=step.engine,
            state=state, seconds=0.0 if state is State.REUSED else ended - first.started,
            attempt=pod.attempt, parameters=inputs.parameters,
            inputs=inputs.to_dict()["artifacts"], outputs=made.to_dict(), metrics=metrics_of(made),
            error=error, reused_from=reused_from, fingerprint="",
        )  # fmt: skip

    def _emit(self, **event: Any) -> None:
        self._remember(event)
        self._on_event({"time": time.time(), **event})

    def _remember(self, event: Mapping[str, Any]) -> None:
        if "step" not in event:
            return
        told = self._told.setdefault(event["step"], _Told())
        match event["type"]:
            case "step_started":
                told.attempt, told.metrics, told.look_again = event["attempt"], 0, 0.0
                told.failed |= set(range(1, event["attempt"]))
            case "step_note":
                told.notes.add(event["text"])
            case "step_metric":
                told.metrics += 1
            case "step_finished":
                told.finished = True
                self.made[event["step"]] = Outputs.from_dict(event.get("outputs") or _NOTHING)
                self.first_error = self.first_error or event.get("error")

    def _places(self, step: StepNow, pod: Pod) -> list[str]:
        places = [f"{self._where}, pod {pod.name}"]
        if self._folder is not None:
            places.append(str(self._folder / log_file(step.path, pod.attempt)))
        return places


_NOTHING = Outputs().to_dict()


def log_file(path: str, attempt: int) -> str:
    """Where an attempt's log lies in the run's folder."""
    suffix = "" if attempt == 1 else f".attempt-{attempt}"
    return f"logs/{path}{suffix}.log"
