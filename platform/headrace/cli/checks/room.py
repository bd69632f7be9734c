"""Whether a site has room: nodes, GPUs, quotas, and whether what steps ask for fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headrace.cli.checks.finding import Finding, Health, caution, fine, wrong
from headrace.cli.render.quantities import count
from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.errors import Forbidden
from headrace.cluster.quantities import amount, memory
from headrace.sites.cluster import Resources, Site

_KINDS = ("python", "spark", "ray")
_OF_A_STEP = {
    "cpu": "cpu", "requests.cpu": "cpu",
    "memory": "memory", "requests.memory": "memory", "limits.memory": "memory",
}  # fmt: skip
"""What a quota counts, and what of a step it counts."""


def check_nodes(cluster: Cluster, site: Site) -> Finding:
    """Whether some node is large enough for each kind of step, and which have GPUs."""
    try:
        nodes = [one for one in cluster.list("nodes") if _usable(one, site.node_selector)]
    except Forbidden:
        return Finding(subject="nodes", health=Health.ABSENT, text="may not be looked at")
    if not nodes:
        text = "none is ready" + (" with the labels of node_selector" if site.node_selector else "")
        return wrong("nodes", text, "correct `node_selector` of the site, or add nodes")
    for kind in _KINDS:
        wanted = site.resources(kind)
        if not any(_fits(one, wanted) for one in nodes):
            text = f"none has {wanted.cpu} cpu and {wanted.memory} for a {kind} step"
            return wrong("nodes", text, f"lower `defaults.{kind}` of the site, or add larger nodes")
    return fine("nodes", _summary(nodes))


def check_quotas(cluster: Cluster, site: Site) -> Iterator[Finding]:
    """Whether the namespace's quotas and limits let a step in."""
    step = site.resources("python")
    for one in cluster.list("resourcequotas"):
        yield check_quota(one, step)
    for one in cluster.list("limitranges"):
        if finding := check_range(one, site):
            yield finding


def check_quota(quota: Manifest, step: Resources) -> Finding:
    """Whether a quota has room for a step."""
    name = f"quota {quota['metadata']['name']}"
    hard, used = quota["status"].get("hard", {}), quota["status"].get("used", {})
    wanted = {"cpu": amount(step.cpu), "memory": amount(step.memory)}
    state = ", ".join(f"{key} {used.get(key, '0')} of {most}" for key, most in hard.items())
    for key, most in hard.items():
        asked = wanted[_OF_A_STEP[key]] if key in _OF_A_STEP else float(key == "pods")
        if asked > amount(most):
            text = f"never lets a python step in: {key} is {most} at most"
            return wrong(name, text, "have it raised, or lower `defaults` of the site")
        if asked > amount(most) - amount(used.get(key, 0)):
            text = f"has no room for a python step now: {state}"
            return caution(name, text, "wait until other work has ended, or have it raised")
    return fine(name, state)


def check_range(limits: Manifest, site: Site) -> Finding | None:
    """Whether a LimitRange forbids what steps ask for."""
    for one in limits["spec"].get("limits", []):
        most = one.get("max", {}).get("memory")
        if one.get("type") not in ("Container", "Pod") or not most:
            continue
        for kind in _KINDS:
            if amount(site.resources(kind).memory) > amount(most):
                return wrong(
                    f"limits {limits['metadata']['name']}",
                    f"a {kind} step asks for {site.resources(kind).memory} of memory, and "
                    f"{most} is the most there",
                    f"lower `defaults.{kind}` of the site, or have the limit raised",
                )
    return None


def _usable(node: Manifest, selector: Mapping[str, str]) -> bool:
    labels = node["metadata"].get("labels", {})
    ready = any(
        one["type"] == "Ready" and one["status"] == "True"
        for one in node["status"].get("conditions", [])
    )
    chosen = all(labels.get(key) == value for key, value in selector.items())
    return ready and chosen and not node["spec"].get("unschedulable")


def _fits(node: Manifest, wanted: Resources) -> bool:
    have = node["status"]["allocatable"]
    return amount(have["cpu"]) >= amount(wanted.cpu) and amount(have["memory"]) >= amount(
        wanted.memory
    )


def _summary(nodes: Sequence[Manifest]) -> str:
    """`3 nodes, 24 cores, 96Gi; 4 GPUs on 1 node`."""
    have: list[Mapping[str, Any]] = [one["status"]["allocatable"] for one in nodes]
    cores = sum(amount(one["cpu"]) for one in have)
    size = sum(amount(one["memory"]) for one in have)
    gpus = [sum(amount(v) for k, v in one.items() if k.endswith("/gpu")) for one in have]
    text = f"{count(len(nodes), 'node')}, {cores:g} cores, {memory(size)}"
    if not any(gpus):
        return f"{text}; no GPUs"
    return f"{text}; {count(int(sum(gpus)), 'GPU')} on {count(sum(map(bool, gpus)), 'node')}"
