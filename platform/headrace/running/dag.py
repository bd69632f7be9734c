"""Walks a pipeline's graph: order, conditions, loops, nested pipelines, exit handlers.

One recursive walk serves all of KFP's control flow, because all of it is tasks whose
component is a graph: a condition is a graph with a trigger, a loop one that runs once per
item, an exit handler's task one that waits for completion rather than success.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from headrace.core.errors import HeadraceError, StepFailed
from headrace.core.expressions import compile_expression
from headrace.core.states import State
from headrace.running import tasks
from headrace.running.artifacts import Artifact, Outputs
from headrace.running.leaf import Leaf
from headrace.running.parameters import convert
from headrace.running.placeholders import fill
from headrace.running.scope import Absent, Outcome, Scope
from headrace.running.session import Session
from headrace.running.steps import run_step

_WAIT_FOR_ALL = "ALL_UPSTREAM_TASKS_COMPLETED"


class Graph:
    """One graph being walked."""

    def __init__(
        self, session: Session, component: Mapping[str, Any], scope: Scope, path: str
    ) -> None:
        self.session = session
        self.component = component
        self.tasks: Mapping[str, Any] = component["dag"].get("tasks", {})
        self.scope = scope
        self.path = path
        self.done: dict[str, asyncio.Task[Outcome]] = {}

    async def walk(self) -> Outcome:
        """Run every task when what it waits for is there, and gather the graph's outputs."""
        async with asyncio.TaskGroup() as group:
            for name in self.tasks:
                self.done[name] = group.create_task(self.task(name))
        outcomes = [one.result() for one in self.done.values()]
        failed = next((one for one in outcomes if one.state is State.FAILED), None)
        forced = any(one.forced for one in outcomes)
        if failed is not None:
            return replace(failed, outputs=Outputs(), forced=forced)
        return Outcome(state=State.SUCCEEDED, outputs=self.outputs(), forced=forced)

    async def task(self, name: str) -> Outcome:
        """One task, from waiting to its outcome."""
        task = self.tasks[name]
        before = [await self.done[one] for one in tasks.upstream(task) if one in self.done]
        trigger = task.get("triggerPolicy", {})
        path = f"{self.path}/{name}" if self.path else name
        waits_for_all = trigger.get("strategy") == _WAIT_FOR_ALL
        if not waits_for_all and not all(one.state.good for one in before):
            return self.skip(task, path, "something that it needs did not succeed")
        forced = self.scope.forced or any(one.forced for one in before)
        forced = forced or self.session.from_step in (name, tasks.display(name, task))
        try:
            inputs = self.inputs(name, task, lenient=waits_for_all)
            if "condition" in trigger and not self.holds(task, trigger["condition"], inputs):
                return self.skip(task, path, "its condition is false")
        except Absent as absent:
            return self.skip(task, path, str(absent))
        except (HeadraceError, ValueError) as error:
            return self.broken(name, task, path, error)
        component = self.session.component(task)
        scope = Scope(inputs=inputs, outer=self.scope, label=self.scope.label, forced=forced)
        if "parameterIterator" in task or "artifactIterator" in task:
            return await self.loop(name, task, component, scope, path)
        if "dag" in component:
            return await Graph(self.session, component, scope, path).walk()
        return await self.leaf(name, task, component, inputs, path, forced)

    async def leaf(
        self, name: str, task: Any, component: Any, inputs: Outputs, path: str, forced: bool
    ) -> Outcome:
        caching = task.get("cachingOptions", {})
        found = await run_step(
            self.session,
            Leaf(
                path=path,
                task_name=name,
                name=tasks.display(name, task) + self.scope.label,
                component=component,
                label=component["executorLabel"],
                inputs=inputs,
                around=self.scope.inputs,
                retry=task.get("retryPolicy", {}),
                cached=bool(caching.get("enableCache")) and not forced,
                cache_key=caching.get("cacheKey", ""),
            ),
        )
        return Outcome(state=found.state, outputs=found.outputs, error=found.error, forced=forced)

    async def loop(self, name: str, task: Any, component: Any, scope: Scope, path: str) -> Outcome:
        """Once per item, side by side up to the loop's limit; outputs are collected in order."""
        limit = task.get("iteratorPolicy", {}).get("parallelismLimit") or len(self.session.slots)
        slots = asyncio.Semaphore(int(limit))

        async def iteration(index: int, inputs: Outputs) -> Outcome:
            inner = replace(scope, inputs=inputs, label=f"{scope.label}[{index}]")
            async with slots:
                return await Graph(self.session, component, inner, f"{path}/{index}").walk()

        try:
            items = list(self.items(task, component, scope.inputs))
        except (HeadraceError, ValueError) as error:
            return self.broken(name, task, path, error)
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(iteration(i, one)) for i, one in enumerate(items)]
        outcomes = [one.result() for one in running]
        failed = next((one for one in outcomes if one.state is State.FAILED), None)
        forced = scope.forced or any(one.forced for one in outcomes)
        if failed is not None:
            return replace(failed, outputs=Outputs(), forced=forced)
        return Outcome(
            state=State.SUCCEEDED, outputs=tasks.collected(component, outcomes), forced=forced
        )

    def items(self, task: Any, component: Any, inputs: Outputs) -> Iterator[Outputs]:
        """The inputs of each iteration."""
        if "artifactIterator" in task:
            iterator = task["artifactIterator"]
            for artifact in inputs.artifacts.get(iterator["items"]["inputArtifact"], []):
                named = {**inputs.artifacts, iterator["itemInput"]: [artifact]}
                yield replace(inputs, artifacts=named)
            return
        iterator = task["parameterIterator"]
        name, source = iterator["itemInput"], iterator["items"]
        values = (
            json.loads(source["raw"])
            if "raw" in source
            else inputs.parameters.get(source["inputParameter"])
        )
        if isinstance(values, str):
            values = json.loads(values)
        if not isinstance(values, list):
            raise StepFailed(f"A loop's items must be a list, not {values!r}.")
        kind = (
            tasks.definitions(component, "input", "parameters").get(name, {}).get("parameterType")
        )
        for value in values:
            item = convert(value, kind, name) if kind else value
            yield replace(inputs, parameters={**inputs.parameters, name: item})

    def inputs(self, name: str, task: Any, *, lenient: bool) -> Outputs:
        """A task's inputs, resolved and of the right types.

        Args:
            name: The task's name.
            task: The task.
            lenient: Whether inputs may be missing because what makes them did not succeed.
        """
        component = self.session.component(task)
        given = task.get("inputs", {})
        values: dict[str, Any] = {}
        constants: dict[str, Any] = {}
        for key, source in given.get("parameters", {}).items():
            if "runtimeValue" in source:
                constants[key] = source["runtimeValue"]["constant"]
                continue
            there, value = self.value(source)
            if there and value is not None:
                values[key] = tasks.selected(value, source.get("parameterExpressionSelector"))
        run = self.session.placeholders(self.path, name)
        values |= {key: fill(one, run, values) for key, one in constants.items()}
        parameters = tasks.typed(values, component)
        artifacts = {
            key: found
            for key, source in given.get("artifacts", {}).items()
            if (found := self.artifacts(source)) is not None
        }
        if not lenient:
            tasks.require(component, parameters, artifacts)
        return Outputs(parameters=parameters, artifacts=artifacts)

    def value(self, source: Any) -> tuple[bool, Any]:
        if "componentInputParameter" in source:
            return self.scope.parameter(source["componentInputParameter"])
        if "taskFinalStatus" in source:
            return True, self.final_status(source["taskFinalStatus"]["producerTask"])
        wanted = source["taskOutputParameter"]
        producer, key = wanted["producerTask"], wanted["outputParameterKey"]
        component = self.session.component(self.tasks[producer])
        if key not in tasks.definitions(component, "output", "parameters"):
            if "-subvar-" in key:
                return False, None  # a field of a loop's item: the scope finds it in the loop
            raise StepFailed(
                f"The compiled pipeline wants {key!r} of {producer!r}, which does not make it.",
                hint="KFP's compiler loses a OneOf that only a condition asks for: "
                "hand it to a step first, and ask that step's output",
            )
        found = self.done[producer].result().outputs.parameters
        return key in found, found.get(key)

    def artifacts(self, source: Any) -> list[Artifact] | None:
        if "componentInputArtifact" in source:
            return self.scope.artifact(source["componentInputArtifact"])
        wanted = source["taskOutputArtifact"]
        found = self.done[wanted["producerTask"]].result().outputs.artifacts
        return found.get(wanted["outputArtifactKey"])

    def final_status(self, producer: str) -> dict[str, Any]:
        """What an exit task learns of the tasks it follows."""
        outcome = self.done[producer].result()
        good = outcome.state.good
        error = outcome.error or {}
        return {
            "state": "SUCCEEDED" if good else "FAILED",
            "pipelineTaskName": producer,
            "pipelineJobResourceName": self.session.run_id,
            "error": {} if good else {"code": 9, "message": error.get("what", "did not run")},
        }

    def holds(self, task: Any, condition: str, inputs: Outputs) -> bool:
        given = task.get("inputs", {}).get("parameters", {})
        # A pipeline's parameter that was left out is nothing, and equal to nothing; the
        # output of a branch that was not taken is not there to be asked.
        values = {
            f"inputs.parameter_values.{name}": inputs.parameters.get(name)
            for name, source in given.items()
            if name in inputs.parameters or "componentInputParameter" in source
        }
        try:
            return bool(compile_expression(condition).evaluate(values))
        except KeyError as missing:
            raise Absent(f"its condition needs {missing}, which nothing made") from missing

    def outputs(self) -> Outputs:
        """The graph's own outputs, out of its tasks' outputs."""
        declared = self.component["dag"].get("outputs", {})
        parameters: dict[str, Any] = {}
        for name, source in declared.get("parameters", {}).items():
            selectors = source.get("valueFromOneof", {}).get("parameterSelectors") or [
                source["valueFromParameter"]
            ]
            for one in selectors:
                found = self.done[one["producerSubtask"]].result().outputs.parameters
                if one["outputParameterKey"] in found:
                    parameters[name] = found[one["outputParameterKey"]]
                    break
        artifacts: dict[str, list[Artifact]] = {}
        for name, source in declared.get("artifacts", {}).items():
            for one in source["artifactSelectors"]:
                made = self.done[one["producerSubtask"]].result().outputs.artifacts
                if one["outputArtifactKey"] in made:
                    artifacts[name] = made[one["outputArtifactKey"]]
                    break
        return Outputs(parameters=parameters, artifacts=artifacts)

    def skip(self, task: Any, path: str, reason: str) -> Outcome:
        for inner, name in tasks.leaves(self.session, task, path):
            self.session.emit(
                type="step_finished", step=inner, name=name + self.scope.label,
                state=State.SKIPPED, seconds=0.0, error=None, reason=reason,
            )  # fmt: skip
        return Outcome(state=State.SKIPPED)

    def broken(self, name: str, task: Any, path: str, error: Exception) -> Outcome:
        """A task whose inputs cannot be made."""
        described = self.session.describe(error)
        self.session.emit(
            type="step_finished", step=path, name=tasks.display(name, task) + self.scope.label,
            state=State.FAILED, seconds=0.0, error=described,
        )  # fmt: skip
        return Outcome(state=State.FAILED, error=described)
