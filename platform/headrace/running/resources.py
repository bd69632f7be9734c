"""What a step's pod asks for: the pipeline's word, or else the site's defaults. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.cluster import pods
from headrace.sites.cluster import Resources


def resources_of(container: Mapping[str, Any], defaults: Resources) -> dict[str, Any]:
    """Kubernetes' requests and limits of a compiled container.

    Args:
        container: The executor's container, whose `resources` is as KFP's compiler writes it.
        defaults: What the site gives a step that asks for nothing.
    """
    asked = container.get("resources", {})
    cpu = _text(asked, "resourceCpuRequest", "cpuRequest") or _text(
        asked, "resourceCpuLimit", "cpuLimit"
    )
    memory = _memory(asked, "Limit") or _memory(asked, "Request")
    found = pods.resources(cpu or defaults.cpu, memory or defaults.memory)
    if limit := _text(asked, "resourceCpuLimit", "cpuLimit"):
        found["limits"]["cpu"] = limit
    if request := _memory(asked, "Request"):
        found["requests"]["memory"] = request
    accelerator = asked.get("accelerator", {})
    if kind := str(accelerator.get("resourceType") or accelerator.get("type") or ""):
        count = _whole(accelerator.get("resourceCount") or accelerator.get("count") or 1)
        for part in ("requests", "limits"):
            found[part][kind] = count
    return found


def _text(asked: Mapping[str, Any], text: str, number: str) -> str:
    if asked.get(text):
        return str(asked[text])
    return f"{float(asked[number]):g}" if asked.get(number) else ""


def _memory(asked: Mapping[str, Any], what: str) -> str:
    if text := asked.get(f"resourceMemory{what}"):
        return str(text)
    gigabytes = asked.get(f"memory{what}")
    return f"{round(float(gigabytes) * 1e9)}" if gigabytes else ""


def _whole(count: Any) -> str:
    return f"{float(count):g}"
