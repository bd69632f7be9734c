"""Why a pod does not run yet: scheduling, images, what its description names. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headrace.cluster.problems import (
    Cause,
    Problem,
    Thing,
    began,
    condition,
    containers,
    listed,
    moment,
    newest,
    short,
)
from headrace.cluster.queues import unexplained

_PULL = (
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
    "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed",
)  # fmt: skip
_MAKE = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_PREPARE = ("ContainerCreating", "PodInitializing", "")

_PUSH = "build and push it with images/build.py, or correct `images` of the site"
_LOGIN = "name a Secret with the registry's credentials in `pull_secrets` of the site"
_NODES = "let the cluster's nodes reach the registry, or push the images to one that they reach"
_SAYINGS = (
    (r"no match for platform", "it has no variant for the node's processor", _PUSH),
    (r"unauthorized|forbidden|denied|authoriz|\b40[13]\b", "its registry refuses it", _LOGIN),
    (r"toomanyrequests|\b429\b", "its registry is asked too often", _LOGIN),
    (r"not found|manifest unknown|\b404\b", "its registry does not have it", _PUSH),
    (r"no such host", "nobody knows the host of its registry", _NODES),
    (r"x509|certificate", "the nodes do not trust its registry's certificate", _NODES),
    (r"HTTP response to HTTPS", "its registry speaks plain HTTP, which the nodes refuse", _NODES),
    (r"no space left", "the node's disk is full", "free room on the node"),
    (r"refused|timeout|deadline|reset|\bEOF\b", "its registry does not answer", _NODES),
)
"""What a registry's failure sounds like, what it means, and what would help; first match counts."""
_MISSING = re.compile(r'(?P<kind>secret|configmap) "(?P<name>[^"]+)" not found')
_NO_KEY = re.compile(
    r"couldn't find key (?P<key>\S+) in (?P<kind>Secret|ConfigMap) \S*?(?P<name>[^/\s]+)$"
)
_KINDS = {"secret": "Secret", "configmap": "ConfigMap"}
_INSUFFICIENT = re.compile(r"Insufficient ([\w./-]*\w)")


def why_waiting(pod: Thing, events: Sequence[Thing]) -> Problem | None:
    """What keeps a pod from starting, if anything does.

    Args:
        pod: A pod that is pending, or whose containers wait.
        events: Those about it.
    """
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return _unscheduled(pod, scheduled)
    found = (_container(pod, status, spec, events) for status, spec in containers(pod))
    return next((one for one in found if one), None) or _preparing(pod, events)


def _unscheduled(pod: Thing, scheduled: Thing) -> Problem:
    since = moment(scheduled.get("lastTransitionTime"))
    if scheduled.get("reason") == "SchedulingGated":
        return unexplained(pod, since)
    text, remedy = _no_node(pod, str(scheduled.get("message", "")))
    return Problem(cause=Cause.UNSCHEDULABLE, text=text, remedy=remedy, since=since)


def _no_node(pod: Thing, message: str) -> tuple[str, str]:
    """What the scheduler says, and what would help.

    Its messages read `0/3 nodes are available: 2 Insufficient cpu, 1 node(s) had …. preemption: …`.
    """
    counted, _, rest = message.partition(" nodes are available: ")
    reasons = short(re.split(r"\. (?:no new claims|preemption|not found)", f"{rest} ")[0])
    heard = f"({counted} nodes are available: {reasons})" if rest else f"({short(message)})"
    scarce = list(dict.fromkeys(_INSUFFICIENT.findall(rest)))
    if scarce:
        asked = listed([f"{_asked(pod, one)} {one}".strip() for one in scarce])
        more = "GPUs" if any("gpu" in one for one in scarce) else "room"
        remedy = f"ask for less, wait until other work has ended, or add nodes with more {more}"
        return f"finds no node with {asked} free {heard}", remedy
    if "node affinity/selector" in rest:
        wanted = ", ".join(f"{k}={v}" for k, v in pod["spec"].get("nodeSelector", {}).items())
        return (
            f"finds no node with the labels {wanted or 'that it wants'} {heard}",
            "correct `node_selector` of the site, or label nodes so",
        )
    if "taint" in rest:
        return (
            f"tolerates the taints of no node {heard}",
            "add what it should tolerate to `tolerations` of the site",
        )
    if "persistentvolumeclaim" in rest:
        return f"has no volume: {reasons}", "look at the volume's claim and at its storage class"
    return f"finds no node that takes it {heard}", "`kubectl describe nodes` shows what they have"


def _asked(pod: Thing, resource: str) -> str:
    """How much the containers ask for; several are joined by a plus."""
    asked = [
        str(one.get("resources", {}).get("requests", {}).get(resource, ""))
        for one in pod["spec"].get("containers", [])
    ]
    return "+".join(one for one in asked if one)


def _container(pod: Thing, status: Thing, spec: Thing, events: Sequence[Thing]) -> Problem | None:
    waiting = status.get("state", {}).get("waiting", {})
    reason, message = waiting.get("reason", ""), str(waiting.get("message", ""))
    since = moment(pod.get("status", {}).get("startTime"))
    if reason in _PULL:
        event = newest(events, "Failed", "InspectFailed", saying=f'image "{spec.get("image")}"')
        said = message if ": " in message else str((event or {}).get("message", message))
        text, remedy = _pull(str(spec.get("image", status.get("image", ""))), reason, said)
        return Problem(cause=Cause.IMAGE, text=text, remedy=remedy, since=since)
    if reason in _MAKE:
        text, remedy = _unmade(str(status["name"]), message or reason)
        return Problem(cause=Cause.CONFIG, text=text, remedy=remedy, since=since)
    return None


def _pull(image: str, reason: str, said: str) -> tuple[str, str]:
    if reason == "InvalidImageName":
        return f"has an image of no valid name, {image!r}", "correct `images` of the site"
    if reason == "ErrImageNeverPull":
        return (
            f"cannot get the image {image}: it may not be pulled, and its node does not have it",
            "load it onto the nodes, or let it be pulled",
        )
    # The image's own name might sound like a failure.
    heard = said.replace(image, "").replace(image.rpartition(":")[0], "")
    for pattern, meaning, remedy in _SAYINGS:
        if re.search(pattern, heard, re.IGNORECASE):
            return f"cannot get the image {image}: {meaning}", remedy
    last = short(said.rpartition(f'"{image}": ')[2] or said)
    return f"cannot get the image {image}: {last}", _NODES


def _unmade(container: str, message: str) -> tuple[str, str]:
    """A container that cannot be made, mostly for the lack of something it names."""
    if match := _NO_KEY.search(message):
        what = f"{match['kind']} {match['name']!r}"
        return (
            f"wants the key {match['key']!r}, which the {what} does not have",
            f"add the key to the {what}",
        )
    if match := _MISSING.search(message):
        what = f"{_KINDS[match['kind']]} {match['name']!r}"
        return f"wants the {what}, which is not there", f"make the {what}, or name another"
    if "runAsNonRoot" in message:
        return (
            f"may not run as root, and the image of its container {container!r} would",
            "use one of Headrace's images, or one that names a user",
        )
    return f"cannot make its container {container!r}: {short(message)}", "correct what it names"


def _preparing(pod: Thing, events: Sequence[Thing]) -> Problem | None:
    """A pod that has its node, and not yet its volumes or its network."""
    reasons = {one.get("state", {}).get("waiting", {}).get("reason") for one, _ in containers(pod)}
    if not reasons & set(_PREPARE):
        return None
    if event := newest(events, "FailedMount", "FailedAttachVolume"):
        message = str(event["message"])
        if _MISSING.search(message):
            text, remedy = _unmade("", message)
            return Problem(cause=Cause.CONFIG, text=text, remedy=remedy, since=began(event))
        return Problem(
            cause=Cause.NODE,
            text=f"waits for a volume: {short(message)}",
            remedy="look at the volume's claim and at its storage class",
            since=began(event),
        )
    if event := newest(events, "FailedCreatePodSandBox"):
        return Problem(
            cause=Cause.NODE,
            text=f"cannot be set up by its node: {short(str(event['message']))}",
            remedy="have the node looked at; its network is the usual suspect",
            since=began(event),
        )
    return None
