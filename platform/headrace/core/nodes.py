"""The names that Kubeflow Pipelines gives to the parts of a run, in terms of steps. Pure.

KFP has a workflow of Argo's carry a run out. Each of its nodes, and so each pod, has a name
that tells the way to it: `WORKFLOW.root.for-loop-2.iteration-iterations(0:0).iteration-item`
`.train.executor(1)` is the second attempt at the step `for-loop-2/0/train`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ITERATION = re.compile(r"iteration-iterations\((\d+):")
_EXECUTOR = re.compile(r"executor(?:\((\d+)\))?")
_EXIT_HOOK = "onExit"


@dataclass(frozen=True, kw_only=True)
class Node:
    """What a node's name says."""

    path: str
    """The step's or group's path in the pipeline; empty for the pipeline itself."""
    label: str
    """Which iteration of which loops it belongs to: `[0][2]`; empty outside loops."""
    attempt: int
    """Which attempt at the step a pod is, from 1."""


def of_pod(name: str) -> Node:
    """What the name of the node of a step's own pod says."""
    return _node(name.split(".")[2:-1], _attempt(name.rpartition(".")[2]))


def of_node(name: str, template: str) -> Node:
    """What the name of any node says.

    Args:
        name: The node's name.
        template: The name of the template that it was made from.
    """
    segments = name.split(".")[2:]
    if template.endswith("container-impl"):
        return of_pod(name)
    if template.endswith("-driver") and segments:
        before = segments.pop().removesuffix("-driver")
        segments += [before] if before not in ("iteration", "iteration-item") else []
    return _node(segments, 1)


def _node(segments: list[str], attempt: int) -> Node:
    path: list[str] = []
    label = ""
    in_iteration = False
    for one in segments:
        iteration = _ITERATION.match(one)
        if one == _EXIT_HOOK and path:
            path.pop()  # an exit task stands beside what it follows
        elif iteration:
            path.append(iteration[1])
            label += f"[{iteration[1]}]"
        elif one != "iteration-iterations" and not (one == "iteration-item" and in_iteration):
            path.append(one)
        in_iteration = iteration is not None
    return Node(path="/".join(path), label=label, attempt=attempt)


def _attempt(segment: str) -> int:
    match = _EXECUTOR.fullmatch(segment)
    return int(match[1] or 0) + 1 if match else 1
