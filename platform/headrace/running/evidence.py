"""Why an attempt's pod ended without a result, and what is kept of it once it is gone."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from headrace.cluster import diagnosis, errors, labels
from headrace.cluster.client import Cluster, Manifest
from headrace.core.errors import HeadraceError
from headrace.core.states import State
from headrace.data.store import Store
from headrace.running.following import Following

FILE = "evidence.json"


def describe_end(
    cluster: Cluster, following: Following, result: dict[str, Any] | None
) -> dict[str, Any]:
    """A failed result for a pod that left none, or that was told to end by somebody else.

    Args:
        cluster: Where the pod was.
        following: What was seen of it.
        result: The result that it left, if it was told to end.
    """
    problem = following.problem
    with suppress(errors.ClusterProblem):
        problem = diagnosis.of_job(cluster, following.job, following.pod) or problem
    name = following.pod["metadata"]["name"] if following.pod else following.job
    what, hint = "The step's pod went without a result.", "`headrace why` shows what is known"
    if problem is not None:
        what, hint = f"The step's pod failed: {problem.text}", problem.remedy
    elif following.deleted or result is not None:
        what = "The step's pod was deleted while it ran."
        hint = "its node may have been drained, or somebody deleted it; run again to continue"
    error = {
        "kind": "StepFailed", "what": what, "where": [f"{cluster.where}, pod {name}"],
        "hint": hint, "exit_code": 1, "traceback": "",
    }  # fmt: skip
    return {"state": State.FAILED, "error": error}


def keep_evidence(
    cluster: Cluster, store: Store, folder: str, following: Following, run_folder: Path
) -> None:
    """Keep what Kubernetes knows of a failed attempt: its objects are about to go.

    Args:
        cluster: Where the pods are.
        store: Gets a copy.
        folder: The attempt's folder there.
        following: The attempt.
        run_folder: The run's folder here, which gets the same.
    """
    with suppress(errors.ClusterProblem):
        found = gather(cluster, following)
        text = json.dumps(found)
        local = run_folder / "evidence" / following.job / FILE
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_text(text)
        with suppress(HeadraceError):
            store.write(f"{folder}/evidence/{FILE}", text.encode())


def gather(cluster: Cluster, following: Following) -> dict[str, Any]:
    """The attempt's own pod, everything else that carries its step's label, and their events."""
    pods: dict[str, Manifest] = {}
    if following.pod:
        pods[following.pod["metadata"]["name"]] = following.pod
        marks = following.pod["metadata"]["labels"]
        same = {key: marks[key] for key in (labels.RUN, labels.STEP) if key in marks}
        pods |= {
            one["metadata"]["name"]: one for one in cluster.list("pods", labels.selector(same))
        }
    about = {*pods, following.job}
    events = [
        one for one in cluster.list("events") if one.get("involvedObject", {}).get("name") in about
    ]
    return {"job": following.job, "pods": [_lean(one) for one in pods.values()], "events": events}


def _lean(pod: Manifest) -> Manifest:
    """A pod without its environment: values of variables are nobody's business."""
    spec = pod.get("spec", {})
    kept = {
        key: [{k: v for k, v in one.items() if k in ("name", "image", "resources")} for one in some]
        for key, some in spec.items()
        if key in ("containers", "initContainers")
    }
    meta = {k: v for k, v in pod["metadata"].items() if k != "managedFields"}
    return {
        "metadata": meta,
        "spec": kept | {"nodeName": spec.get("nodeName", "")},
        "status": pod.get("status", {}),
    }
