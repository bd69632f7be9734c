"""Where the steps of a KFP run stand, read from the workflow that carries it out. Pure.

KFP's own account of a run's tasks gives a display name and a state each; it does not tell two
tasks of the same name apart, nor say why one failed. The workflow says all of it: the API
server hands it out as the run's runtime manifest.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from headrace.core import nodes
from headrace.core.states import State
from headrace.running import jobs
from headrace.running.tasks import display

_STATES = {
    "Pending": State.PENDING,
    "Running": State.RUNNING,
    "Succeeded": State.SUCCEEDED,
    "Failed": State.FAILED,
    "Error": State.FAILED,
}
_LONGEST_PREFIX = 242
_CALLED_OFF = re.compile(r"exceeded its deadline|workflow shutdown")
FALSE = "its condition is false"
NOT_MET = "something that it needs did not succeed"

Workflow = Mapping[str, Any]
"""An Argo Workflow, as its JSON reads."""


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod of a step: an attempt at it, or the driver that prepares it."""

    name: str
    """The pod's name."""
    attempt: int
    """Which attempt it is, from 1."""
    state: State
    """Pending, running, succeeded or failed."""
    message: str
    """Why it waits, or why it failed, as the workflow's controller puts it."""
    started: float
    """When it was made, in Unix seconds."""
    ended: float | None
    """When it ended."""
    command: tuple[str, ...] = ()
    """The launcher's command line; empty for a driver."""

    @property
    def given(self) -> Mapping[str, Any]:
        """What KFP's executor was given: inputs, and where outputs go."""
        found: Mapping[str, Any] = json.loads(self._option("--executor_input") or "{}")
        return found

    @property
    def execution(self) -> str:
        """The id under which KFP has recorded the step's execution."""
        return self._option("--execution_id")

    @property
    def called_off(self) -> bool:
        """Whether it was ended because the run was."""
        return bool(_CALLED_OFF.search(self.message))

    def _option(self, name: str) -> str:
        there = name in self.command
        return self.command[self.command.index(name) + 1] if there else ""


@dataclass(frozen=True, kw_only=True)
class StepNow:
    """Where one step stands, or a group whose inputs could not be made."""

    path: str
    """Its path in the pipeline."""
    name: str
    """What people call it: `train[0]`."""
    engine: str = ""
    """The kind of its engine; empty for a group."""
    component: Mapping[str, Any] = field(default_factory=dict)
    """Its component."""
    executor: Mapping[str, Any] = field(default_factory=dict)
    """Its executor."""
    state: State = State.PENDING
    """Where it stands."""
    reason: str = ""
    """Why it was skipped."""
    driver: Pod | None = None
    """The pod in which KFP prepared it."""
    attempts: tuple[Pod, ...] = ()
    """The pods in which it ran, in order."""
    most: int = 1
    """How often it may be attempted."""


def read(ir: Mapping[str, Any], workflow: Workflow) -> list[StepNow]:
    """The steps of which the workflow says something, in the order in which they began.

    Args:
        ir: The pipeline's specification.
        workflow: The workflow.
    """
    found: dict[str, _Nodes] = {}
    for raw in sorted(_nodes(workflow), key=lambda one: (one.get("startedAt") or "", one["id"])):
        node = nodes.of_node(raw["name"], raw.get("templateName", ""))
        if node.path:
            found.setdefault(node.path, _Nodes(node.label)).take(raw, node, workflow)
    return [one for path, some in found.items() for one in _steps(ir, path, some)]


def failed_pod(workflow: Workflow) -> Pod | None:
    """The pod that failed first, whatever it was for."""
    failed = [one for one in _nodes(workflow) if one["type"] == "Pod" and _failed(one)]
    if not failed:
        return None
    first = min(failed, key=lambda one: one.get("finishedAt") or "")
    node = nodes.of_node(first["name"], first.get("templateName", ""))
    return _pod(first, node, workflow)


def when(text: str | None) -> float | None:
    """A time of Kubernetes' in Unix seconds; None for none."""
    return datetime.fromisoformat(text).timestamp() if text else None


class _Nodes:
    """The nodes that concern one step or group."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.driver: Mapping[str, Any] | None = None
        self.driver_pod: Pod | None = None
        self.own: Mapping[str, Any] = {}
        self.attempts: list[Pod] = []
        self.retrying = False

    def take(self, raw: Mapping[str, Any], node: nodes.Node, workflow: Workflow) -> None:
        template = raw.get("templateName", "")
        plain = nodes.without_attempt(raw["displayName"])
        if template.endswith("-driver") and plain.endswith("-driver"):
            self._take_driver(raw, node, workflow)
        elif template.endswith("container-impl"):
            if raw["type"] == "Pod":
                self.attempts.append(_pod(raw, node, workflow))
            self.retrying |= raw["type"] == "Retry" and raw["phase"] in ("Running", "Pending")
        elif raw["type"] == "Pod":  # an importer does its own driver's work
            self.attempts.append(_pod(raw, node, workflow))
        else:
            self.own = raw

    def _take_driver(self, raw: Mapping[str, Any], node: nodes.Node, workflow: Workflow) -> None:
        """An iteration's driver follows its loop's; the one that failed is the one to tell, unless
        it was made again.
        """
        if raw["type"] == "Retry":  # its pods tell
            return
        before = self.driver
        name = nodes.without_attempt(raw["name"])
        again = before is not None and nodes.without_attempt(before["name"]) == name
        if before is None or again or before["phase"] == "Succeeded":
            self.driver, self.driver_pod = raw, _pod(raw, node, workflow)

    def output(self, name: str) -> str:
        found = (self.driver or {}).get("outputs", {}).get("parameters", [])
        return next((str(one.get("value", "")) for one in found if one["name"] == name), "")

    @property
    def state(self) -> State:
        # What follows a driver that failed is left out, as if nothing had gone wrong with itself.
        if self.driver_pod and self.driver_pod.state is State.FAILED:
            return State.FAILED
        if self.own.get("type") == "Skipped":
            return State.SKIPPED
        if self.output("cached-decision") == "true":
            return State.REUSED
        if not self.attempts:
            return State.PENDING
        last = self.attempts[-1].state
        return State.RUNNING if last is State.FAILED and self.retrying else last

    @property
    def reason(self) -> str:
        return {"Skipped": FALSE, "Omitted": NOT_MET}.get(self.own.get("phase", ""), "")


def _steps(ir: Mapping[str, Any], path: str, some: _Nodes) -> Iterator[StepNow]:
    """What is to be told of a path: a step, the steps of a skipped group, a broken group."""
    task = _task(ir, path)
    if task is None:
        return
    component = ir["components"][task["componentRef"]["name"]]
    if "dag" not in component:
        yield _step(ir, path, task, some)
    elif some.state is State.SKIPPED:
        for inner, leaf in _leaves(ir, component, path):
            yield StepNow(
                path=inner, name=display(inner.rpartition("/")[2], leaf) + some.label,
                state=State.SKIPPED, reason=some.reason,
            )  # fmt: skip
    elif some.state is State.FAILED:
        name = display(_last_name(path), task) + some.label
        yield StepNow(path=path, name=name, state=State.FAILED, driver=some.driver_pod)


def _step(ir: Mapping[str, Any], path: str, task: Mapping[str, Any], some: _Nodes) -> StepNow:
    component = ir["components"][task["componentRef"]["name"]]
    executor = ir["deploymentSpec"]["executors"][component["executorLabel"]]
    return StepNow(
        path=path,
        name=display(_last_name(path), task) + some.label,
        engine=jobs.engine_of(executor),
        component=component,
        executor=executor,
        state=some.state,
        reason=some.reason,
        driver=some.driver_pod,
        attempts=tuple(sorted(some.attempts, key=lambda one: one.attempt)),
        most=1 + int(task.get("retryPolicy", {}).get("maxRetryCount", 0)),
    )


def _nodes(workflow: Workflow) -> list[Mapping[str, Any]]:
    status = workflow.get("status", {})
    if packed := status.get("compressedNodes"):  # a large workflow's
        unpacked: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed)))
        return list(unpacked.values())
    return list((status.get("nodes") or {}).values())


def _failed(raw: Mapping[str, Any]) -> bool:
    return _STATES.get(raw["phase"]) is State.FAILED


def _pod(raw: Mapping[str, Any], node: nodes.Node, workflow: Workflow) -> Pod:
    meta = workflow["metadata"]
    prefix = f"{meta['name']}-{raw.get('templateName', '')}"[:_LONGEST_PREFIX]
    name = f"{prefix}-{raw['id'].rpartition('-')[2]}"
    if meta.get("annotations", {}).get("workflows.argoproj.io/pod-name-format") == "v1":
        name = raw["id"]
    return Pod(
        name=name,
        attempt=node.attempt,
        state=_STATES.get(raw["phase"], State.PENDING),
        message=raw.get("message", ""),
        started=when(raw.get("startedAt")) or 0.0,
        ended=when(raw.get("finishedAt")),
        command=_command(raw),
    )


def _command(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The command of the pod's container, which stands in the patch to its template."""
    for one in raw.get("inputs", {}).get("parameters", []):
        if one["name"] == "pod-spec-patch" and one.get("value"):
            return tuple(json.loads(one["value"])["containers"][0]["command"])
    return ()


def _task(ir: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    """The task at a path, for an iteration its loop; None for what the IR does not know."""
    component, task, looped = ir["root"], None, False
    for part in path.split("/"):
        if looped and part.isdigit():
            looped = False
            continue
        task = component.get("dag", {}).get("tasks", {}).get(part)
        if task is None:
            return None
        component = ir["components"][task["componentRef"]["name"]]
        looped = "parameterIterator" in task or "artifactIterator" in task
    return task


def _leaves(ir: Mapping[str, Any], component: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, task in component["dag"].get("tasks", {}).items():
        inner = ir["components"][task["componentRef"]["name"]]
        if "dag" in inner:
            yield from _leaves(ir, inner, f"{path}/{name}")
        else:
            yield f"{path}/{name}", task


def _last_name(path: str) -> str:
    return next(part for part in reversed(path.split("/")) if not part.isdigit())
