"""The names that Kubeflow Pipelines gives to the parts of a run, in terms of steps. Pure.

KFP has a workflow of Argo's carry a run out. Each of its nodes, and so each pod, has a name
that tells the way to it: `WORKFLOW.root.for-loop-2.iteration-iterations(0:0).iteration-item`
`.train.executor(1)` is the second attempt at the step `for-loop-2/0/train`. Where Argo is told to
make anew whatever was lost, as KFP's own installation tells it, every part of it has such a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ITERATION = re.compile(r"iteration-iterations\((\d+):")
_BELOW_ROOT = re.compile(r"\.root(?:\(\d+\))?\.")
_ATTEMPT = re.compile(r"\((\d+)\)$")
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
    found = _ATTEMPT.search(name)
    return _node(_segments(name)[:-1], int(found[1]) + 1 if found else 1)


def of_node(name: str, template: str) -> Node:
    """What the name of any node says.

    Args:
        name: The node's name.
        template: The name of the template that it was made from.
    """
    segments = _segments(name)
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


def is_name(text: str) -> bool:
    """Whether a text is a node's name, and no step's path.

    >>> is_name("w-1.root.one.executor"), is_name("w-1(0).root(0).one(0).executor(0)")
    (True, True)
    >>> is_name("root/one")
    False
    """
    return _BELOW_ROOT.search(text) is not None


def without_attempt(name: str) -> str:
    """The name that all attempts at a node have in common.

    >>> without_attempt("w-1(0).root-driver(2)"), without_attempt("w-1.root.loop(3:3)")
    ('w-1(0).root-driver', 'w-1.root.loop(3:3)')
    """
    return _ATTEMPT.sub("", name)


def _segments(name: str) -> list[str]:
    """The parts of a node's name below the pipeline's own, without attempts."""
    return [without_attempt(one) for one in name.split(".")][2:]
