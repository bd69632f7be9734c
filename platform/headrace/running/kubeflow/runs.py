"""Runs that a Kubeflow Pipelines server carries out: submitted, followed, cancelled.

The server knows a run's state and its steps' names; what became of them in detail stands in
the workflow that it keeps of each run, and in the logs of the steps' pods, which it hands out.
Nothing else is asked, so whoever may use the server may follow a run, and a run can be
followed again from its id alone.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from headrace.core.errors import EnvironmentProblem, HeadraceError, RunCancelled
from headrace.core.states import State
from headrace.executing import failures
from headrace.running.artifacts import Outputs
from headrace.running.kubeflow import podlog, workflow
from headrace.running.kubeflow.account import Account
from headrace.running.kubeflow.graph_outputs import outputs_of_run
from headrace.running.kubeflow.server import (
    Server,
    connect,
    equal,
    fetch_run,
    log,
    run_path,
)
from headrace.running.kubeflow.server import workflow as fetch_workflow
from headrace.running.kubeflow.values import outputs_of
from headrace.sites.journal import Event

__all__ = ["Server", "beginning", "cancel", "connect", "follow", "so_far", "submit"]

_LOOK_SECONDS = 2.0
_WHOLE_LOOK_SECONDS = 10.0
_FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_CANCELLED = ("CANCELING", "CANCELED")


def submit(
    text: str,
    arguments: Mapping[str, Any],
    server: Server,
    *,
    run_name: str,
    experiment: str,
    pipeline_root: str = "",
    use_cache: bool = True,
    service_account: str = "",
) -> str:
    """Have the server run a pipeline, and return the run's id.

    Args:
        text: The compiled pipeline's YAML, with images that the cluster can pull.
        arguments: Values of its parameters.
        server: The server.
        run_name: What people call the run.
        experiment: The experiment that it belongs to, made if it is not there.
        pipeline_root: The URI below which artifacts go; the server's own default if empty.
        use_cache: Whether KFP may let earlier results stand in.
        service_account: The account of the pods; the server's own default if empty.

    Raises:
        EnvironmentProblem: The server refused, or does not answer.
    """
    documents = [one for one in yaml.load_all(text, Loader=yaml.CSafeLoader) if one]
    ir = next(one for one in documents if "pipelineInfo" in one)
    platforms = next((one for one in documents if "platforms" in one), None)
    spec = ir if use_cache else _uncached(ir)
    body: dict[str, Any] = {
        "display_name": run_name,
        "experiment_id": _experiment(server, experiment),
        "pipeline_spec": {"pipeline_spec": spec, "platform_spec": platforms} if platforms else spec,
        "runtime_config": {"parameters": dict(arguments)},
    }
    if pipeline_root:
        body["runtime_config"]["pipeline_root"] = pipeline_root
    if service_account:
        body["service_account"] = service_account
    made = server.json("POST", "/apis/v2beta1/runs", body=body, patient=False)
    return str(made["run_id"])


def cancel(run_id: str, server: Server) -> None:
    """Have the server end a run; one that has ended stays as it is.

    Raises:
        UsageError: The server has no such run.
        EnvironmentProblem: It refused, or does not answer.
    """
    try:
        server.ask("POST", f"{run_path(run_id)}:terminate")
    except EnvironmentProblem:
        if server.json("GET", run_path(run_id)).get("state") not in _FINAL:
            raise


def beginning(run_id: str, server: Server) -> Event:
    """The event with which a run's journal begins, as far as the server knows.

    Raises:
        UsageError: The server has no such run.
    """
    run = fetch_run(run_id, server)
    return {
        "type": "run_started",
        "time": workflow.when(run["created_at"]),
        "run": run_id,
        "called": run.get("display_name") or "",
        "pipeline": _ir(run)["pipelineInfo"]["name"],
        "parameters": run.get("runtime_config", {}).get("parameters") or {},
        "code_digest": "",
        "git": None,
        "source": "",
        "plan": [],
        "steps_total": 0,
    }


def so_far(run_id: str, server: Server) -> list[Event]:
    """What has become of a run until now, in the events of a journal.

    Raises:
        UsageError: The server has no such run.
        EnvironmentProblem: It does not answer.
    """
    events = [beginning(run_id, server)]
    following = _Following(run_id, server, events.append, None, [], None)
    run = following.look()
    if run["state"] in _FINAL:
        following.end(run)
    return events


def follow(
    run_id: str,
    server: Server,
    on_event: Callable[[Event], None],
    *,
    folder: Path | None = None,
    known: Iterable[Event] = (),
    interrupted: threading.Event | None = None,
) -> Event:
    """Tell what becomes of a run, until it has ended.

    Args:
        run_id: The run's id.
        server: The server.
        on_event: Told of every event but the first: of steps as they start, report and end,
            and of the run's own end.
        folder: The run's own folder, for its steps' logs; None to keep none.
        known: Events that were told before, by a client that is gone: they are not repeated.
        interrupted: When it is set, the run is cancelled.

    Returns:
        The event of the run's end.

    Raises:
        UsageError: The server has no such run.
        EnvironmentProblem: It did not answer for longer than its patience lasts.
    """
    return _Following(run_id, server, on_event, folder, list(known), interrupted).to_its_end()


class _Following:
    def __init__(
        self,
        run_id: str,
        server: Server,
        on_event: Callable[[Event], None],
        folder: Path | None,
        known: list[Event],
        interrupted: threading.Event | None,
    ) -> None:
        self.run_id = run_id
        self.server = server
        self.on_event = on_event
        self.interrupted = interrupted or threading.Event()
        self.source = _Source(run_id, server)
        self.where = f"namespace {server.namespace}"
        self.account = Account(self.source, on_event, folder=folder, where=self.where, known=known)
        self.cancelling = False
        self.mark: Any = None
        self.looked = 0.0
        self.workflow: workflow.Workflow = {}
        self.steps: list[workflow.StepNow] = []

    def to_its_end(self) -> Event:
        while True:
            if self.interrupted.is_set() and not self.cancelling:
                self.cancelling = True
                cancel(self.run_id, self.server)  # it may have ended meanwhile
            run = self.look()
            if run["state"] in _FINAL:
                return self.end(run)
            self.pause()

    def look(self) -> Mapping[str, Any]:
        run: dict[str, Any] = {"state": "", **fetch_run(self.run_id, self.server)}
        over = run["state"] in _FINAL
        now = _mark(run)
        # The workflow is many times as large: it is read when something has changed, and
        # now and then for what changes without a state, such as why a pod waits.
        if over or now != self.mark or time.monotonic() - self.looked > _WHOLE_LOOK_SECONDS:
            self.mark, self.looked = now, time.monotonic()
            self.workflow = fetch_workflow(self.run_id, self.server)
            self.steps = workflow.read(_ir(run), self.workflow)
        self.account.tell(self.steps, cancelled=_was_cancelled(run), over=over)
        return run

    def pause(self) -> None:
        if self.cancelling:
            time.sleep(_LOOK_SECONDS)
        else:
            self.interrupted.wait(_LOOK_SECONDS)

    def end(self, run: Mapping[str, Any]) -> Event:
        state = _state(run)
        error = None
        if state is State.CANCELLED:
            cancelled = RunCancelled("The run was cancelled.", hint="run again to continue it")
            error = failures.describe(cancelled)
        elif state is State.FAILED:
            error = self.account.first_error or self.unexplained(run)
        began, ended = workflow.when(run["created_at"]), workflow.when(run["finished_at"])
        assert began is not None and ended is not None
        outputs = outputs_of_run(_ir(run), self.account.made) if state.good else {}
        event: Event = {
            "type": "run_finished", "time": ended, "state": state, "seconds": ended - began,
            "error": error, "outputs": outputs,
        }  # fmt: skip
        self.on_event(event)
        return event

    def unexplained(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """Why a run failed that has failed before any of its steps did."""
        pod = workflow.failed_pod(self.workflow)
        if pod is not None:
            said = podlog.read(self.source.log(pod.name) or "")
            where = [f"{self.where}, pod {pod.name}"]
            return podlog.describe(said, message=pod.message, where=where)
        what = (run.get("error") or {}).get("message") or "Kubeflow Pipelines did not say why."
        where = [f"{self.server.url}, run {self.run_id}"]
        return failures.describe(EnvironmentProblem(what, where=where))


class _Source:
    """Logs and cached results, from the server."""

    def __init__(self, run_id: str, server: Server) -> None:
        self._run = run_id
        self._server = server

    def log(self, pod: str) -> str | None:
        return log(self._run, pod, self._server)

    def origin(self, execution: str) -> tuple[str, Outputs] | None:
        """The run that made an execution's result: KFP's cache knows it, and its log the rest."""
        if not execution:
            return None
        # The older of KFP's interfaces calls the operation by another word.
        query = equal("mlmdExecutionID", execution, operation="op")
        try:
            found = self._server.json("GET", "/apis/v1alpha1/tasks", query=query)
            run_id = found["tasks"][0]["runId"]
            run = fetch_run(run_id, self._server)
            steps = workflow.read(_ir(run), fetch_workflow(run_id, self._server))
        except (KeyError, IndexError, HeadraceError):  # forgotten since, or not told to us
            return None
        for step in steps:
            pod = step.attempts[-1] if step.attempts else None
            if pod is not None and pod.execution == execution:
                text = log(run_id, pod.name, self._server)
                said = podlog.read(text) if text is not None else None
                return run_id, outputs_of(step, pod, said)
        return run_id, Outputs()


def _experiment(server: Server, name: str) -> str:
    """The id of the experiment of that name."""
    query = {"namespace": server.namespace, **equal("name", name)}
    path = "/apis/v2beta1/experiments"
    found = server.json("GET", path, query=query, patient=False).get("experiments") or []
    if not found:
        body = {"display_name": name, "namespace": server.namespace}
        found = [server.json("POST", path, body=body, patient=False)]
    return str(found[0]["experiment_id"])


def _uncached(ir: dict[str, Any]) -> dict[str, Any]:
    """The same pipeline with every task to be run."""
    changed = copy.deepcopy(ir)
    for component in [changed["root"], *changed["components"].values()]:
        for task in component.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {}
    return changed


def _ir(run: Mapping[str, Any]) -> Mapping[str, Any]:
    spec: Mapping[str, Any] = run.get("pipeline_spec") or {}
    found: Mapping[str, Any] = spec.get("pipeline_spec", spec)
    if "pipelineInfo" not in found:
        raise EnvironmentProblem(
            "Kubeflow Pipelines does not say which pipeline the run is of.",
            where=f"run {run.get('run_id', '')}",
            hint="look at it in the UI of Kubeflow Pipelines: headrace reads runs of version 2",
        )
    return found


def _mark(run: Mapping[str, Any]) -> Any:
    """What changes whenever a step's state does."""
    tasks = (run.get("run_details") or {}).get("task_details") or []
    return run.get("state"), sorted((one["task_id"], one.get("state", "")) for one in tasks)


def _was_cancelled(run: Mapping[str, Any]) -> bool:
    """A run that was called off ends as failed or, if it was quick, as succeeded."""
    return any(one.get("state") in _CANCELLED for one in run.get("state_history") or [])


def _state(run: Mapping[str, Any]) -> State:
    if run["state"] in ("SUCCEEDED", "SKIPPED"):
        return State.SUCCEEDED
    return State.CANCELLED if _was_cancelled(run) else State.FAILED
