"""Runs that a Kubeflow Pipelines server carries out: submitted, followed, cancelled.

The server knows a run's state and its steps' names; what became of them in detail stands in
the workflow that it keeps of each run, and in the logs of the steps' pods, which it hands out.
Nothing else is asked, so whoever may use the server may follow a run, and a run can be
followed again from its id alone.
"""

from __future__ import annotations

import copy
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import yaml

from headrace.core.errors import EnvironmentProblem, RunCancelled, UsageError
from headrace.core.states import State
from headrace.executing import failures
from headrace.running import podlog, workflow
from headrace.running.artifacts import Outputs
from headrace.running.graph_outputs import outputs_of_run
from headrace.running.kubeflow_account import Account, outputs_of
from headrace.sites.journal import Event

if TYPE_CHECKING:
    from kfp_server_api import ApiClient

TOKEN = "HEADRACE_KFP_TOKEN"
"""The environment variable with the bearer token that a server behind a gateway asks for."""
_TIMEOUT = (5.0, 60.0)
_LOOK_SECONDS = 1.0
_WHOLE_LOOK_SECONDS = 10.0
_TRANSIENT = (0, 429, 500, 502, 503, 504)
_FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_CANCELLED = ("CANCELING", "CANCELED")


@dataclass(frozen=True, kw_only=True)
class Server:
    """A Kubeflow Pipelines API server."""

    url: str
    """Its address."""
    namespace: str
    """Where its runs' pods are."""
    api: ApiClient = field(repr=False)
    """The connection."""
    patience: float = 0.0
    """Seconds for which a server that does not answer is asked again."""
    on_wait: Callable[[str], None] | None = field(default=None, repr=False)
    """Told once when the server stops answering, and once when it answers again."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        patient: bool = True,
    ) -> bytes:
        """A request's answer.

        Raises:
            EnvironmentProblem: The server refused, or did not answer for too long.
            UsageError: It does not know what was asked for.
        """
        until = time.monotonic() + (self.patience if patient else 0.0)
        pause, waited = 0.2, False
        while True:
            try:
                answer = self._once(method, path, query, body)
            except _Unreachable as error:
                if time.monotonic() + pause > until:
                    raise
                if not waited and self.on_wait:
                    self.on_wait(error.what)
                waited = True
                time.sleep(pause)
                pause = min(2 * pause, 5.0)
            else:
                if waited and self.on_wait:
                    self.on_wait("Kubeflow Pipelines answers again")
                return answer

    def json(self, method: str, path: str, **options: Any) -> Any:
        """A request's answer, read as JSON."""
        return json.loads(self.ask(method, path, **options) or b"{}")

    def _once(self, method: str, path: str, query: Any, body: Any) -> bytes:
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        try:
            answer = self.api.call_api(
                path, method, query_params=list((query or {}).items()), body=body,
                header_params={"Content-Type": "application/json"}, auth_settings=["Bearer"],
                _preload_content=False, _return_http_data_only=True, _request_timeout=_TIMEOUT,
            )  # fmt: skip
            return bytes(answer.data)
        except ApiException as error:
            raise _refusal(error.status, str(error.body or error.reason), self.url) from error
        except (HTTPError, OSError) as error:
            raise _silence(error, self.url) from error


class _Unreachable(EnvironmentProblem):
    """The server does not answer, or not now."""


def connect(
    endpoint: str,
    namespace: str,
    *,
    patience: float = 0.0,
    on_wait: Callable[[str], None] | None = None,
) -> Server:
    """A server, whether it answers or not.

    Args:
        endpoint: Its URL; the address of its UI serves as well.
        namespace: Where its runs' pods are; on a server for several users, whose runs they are.
        patience: Seconds for which a server that does not answer is asked again.
        on_wait: Told when it stops answering, and when it answers again.
    """
    import os

    from kfp_server_api import ApiClient, Configuration

    configuration = Configuration(host=endpoint.rstrip("/"))
    configuration.retries = False  # asking again is this module's affair
    if token := os.environ.get(TOKEN):
        configuration.api_key = {"authorization": token}
        configuration.api_key_prefix = {"authorization": "Bearer"}
    return Server(
        url=configuration.host, namespace=namespace, api=ApiClient(configuration),
        patience=patience, on_wait=on_wait,
    )  # fmt: skip


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
    """Have the server end a run. Following it goes on until it has ended."""
    server.ask("POST", f"{_run_path(run_id)}:terminate")


def beginning(run_id: str, server: Server) -> Event:
    """The event with which a run's journal begins, as far as the server knows.

    Raises:
        UsageError: The server has no such run.
    """
    run = server.json("GET", _run_path(run_id))
    ir = _ir(run)
    return {
        "type": "run_started",
        "time": workflow.when(run["created_at"]),
        "run": run_id,
        "pipeline": ir["pipelineInfo"]["name"],
        "parameters": run.get("runtime_config", {}).get("parameters") or {},
        "code_digest": "",
        "git": None,
        "source": "",
        "plan": [],
        "steps_total": 0,
    }


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
        self.account = Account(
            _Source(run_id, server), on_event, folder=folder,
            where=f"namespace {server.namespace}", known=known,
        )  # fmt: skip
        self.cancelling = False
        self.steps: list[workflow.StepNow] = []

    def to_its_end(self) -> Event:
        mark: Any = None
        looked = 0.0
        while True:
            if self.interrupted.is_set() and not self.cancelling:
                self.cancelling = True
                cancel(self.run_id, self.server)
            run = self.server.json("GET", _run_path(self.run_id))
            over = run.get("state") in _FINAL
            now = _mark(run)
            # The workflow is many times as large: it is read when something has changed, and
            # now and then for what changes without a state, such as why a pod waits.
            if over or now != mark or time.monotonic() - looked > _WHOLE_LOOK_SECONDS:
                mark, looked = now, time.monotonic()
                self.steps = workflow.read(_ir(run), _workflow(self.run_id, self.server))
            self.account.tell(self.steps, cancelled=over and _was_cancelled(run))
            if over:
                return self.end(run)
            self.pause()

    def pause(self) -> None:
        if self.cancelling:
            time.sleep(_LOOK_SECONDS)
        else:
            self.interrupted.wait(_LOOK_SECONDS)

    def end(self, run: Mapping[str, Any]) -> Event:
        state = _state(run)
        error = self.account.first_error if state is State.FAILED else None
        if state is State.CANCELLED:
            cancelled = RunCancelled("The run was cancelled.", hint="run again to continue it")
            error = failures.describe(cancelled)
        elif state is State.FAILED and error is None:
            what = (run.get("error") or {}).get("message") or "The run failed before any step did."
            where = f"{self.server.url}, run {self.run_id}"
            error = failures.describe(EnvironmentProblem(what, where=where))
        began, ended = workflow.when(run["created_at"]), workflow.when(run["finished_at"])
        assert began is not None and ended is not None
        outputs = outputs_of_run(_ir(run), self.account.made) if state.good else {}
        event: Event = {
            "type": "run_finished", "time": ended, "state": state, "seconds": ended - began,
            "error": error, "outputs": outputs,
        }  # fmt: skip
        self.on_event(event)
        return event


class _Source:
    """Logs and cached results, from the server."""

    def __init__(self, run_id: str, server: Server) -> None:
        self._run = run_id
        self._server = server

    def log(self, pod: str) -> str | None:
        return _log(self._run, pod, self._server)

    def origin(self, execution: str) -> tuple[str, Outputs] | None:
        """The run that made an execution's result: KFP's cache knows it, and its log the rest."""
        if not execution:
            return None
        wanted = {"key": "mlmdExecutionID", "op": "EQUALS", "string_value": execution}
        query = {"filter": json.dumps({"predicates": [wanted]})}
        try:
            found = self._server.json("GET", "/apis/v1alpha1/tasks", query=query)
            run_id = found["tasks"][0]["runId"]
            run = self._server.json("GET", _run_path(run_id))
            steps = workflow.read(_ir(run), _workflow(run_id, self._server))
        except (KeyError, IndexError, UsageError):  # forgotten since, or not told to us
            return None
        for step in steps:
            for pod in step.attempts:
                if pod.execution == execution:
                    text = _log(run_id, pod.name, self._server)
                    log = podlog.read(text) if text is not None else None
                    return run_id, outputs_of(step, pod, log)
        return run_id, Outputs()


def _log(run_id: str, pod: str, server: Server) -> str | None:
    path = f"/apis/v1alpha1/runs/{quote(run_id, safe='')}/nodes/{quote(pod, safe='')}/log"
    text = server.ask("GET", path).decode(errors="replace")
    # It answers 200 before it looks, and then writes its error where the log would be.
    return None if re.match(r'\s*\{"error_(message|details)":', text) else text


def _workflow(run_id: str, server: Server) -> workflow.Workflow:
    found = server.json("GET", f"/apis/v1beta1/runs/{quote(run_id, safe='')}")
    text = found.get("pipeline_runtime", {}).get("workflow_manifest")
    made: dict[str, Any] = json.loads(text) if text else {"metadata": {"name": ""}}
    return made


def _experiment(server: Server, name: str) -> str:
    """The id of the experiment of that name."""
    wanted = {"key": "name", "operation": "EQUALS", "string_value": name}
    query = {"filter": json.dumps({"predicates": [wanted]}), "namespace": server.namespace}
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
    spec: Mapping[str, Any] = run["pipeline_spec"]
    found: Mapping[str, Any] = spec.get("pipeline_spec", spec)
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


def _run_path(run_id: str) -> str:
    return f"/apis/v2beta1/runs/{quote(run_id, safe='')}"


def _refusal(status: int | None, body: str, url: str) -> Exception:
    try:
        said = json.loads(body)
        message = str(said.get("message") or said.get("error") or body)
    except (ValueError, AttributeError):
        message = body.strip()[:400]
    if status in (401, 403):
        return EnvironmentProblem(
            f"Kubeflow Pipelines does not let you in: {message}",
            where=url,
            hint=f"set {TOKEN} to a token that it takes",
        )
    if status == 404:
        return UsageError(f"Kubeflow Pipelines does not know it: {message}", where=url)
    if not status or status in _TRANSIENT:
        return _Unreachable(f"Kubeflow Pipelines does not answer now: {message}", where=url)
    return EnvironmentProblem(f"Kubeflow Pipelines refused: {message}", where=url)


def _silence(error: BaseException, url: str) -> _Unreachable:
    reason = str(getattr(error, "reason", None) or error)
    short = re.sub(r"<[^>]*>:? ?", "", reason).strip() or type(error).__name__
    return _Unreachable(
        f"Kubeflow Pipelines does not answer: {short}",
        where=url,
        hint="is it running, and is kfp.client_url of the site right?",
    )
