"""A Ray step in its own pod: hands the function to a Ray cluster, and takes back what it gave."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pickle
import signal
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from headrace.cluster import labels, pods
from headrace.core.errors import StepFailed
from headrace.engines import ray_claims, ray_kubernetes
from headrace.engines.ray import RaySpec
from headrace.engines.ray_kubernetes import Asked
from headrace.engines.ray_local import ordinal
from headrace.engines.ray_logs import bare
from headrace.engines.ray_remote import Remote
from headrace.executing import context, failures, ray_job, ray_worker, reports, surroundings
from headrace.executing.surroundings import Surroundings
from headrace.executing.variables import PLAIN_VARIABLES

_OWN = (context.WORK, context.CHECKPOINTS)
"""What the step's own process alone is told."""
_FOREIGN = ("KFP_", "ARGO_", "KUBERNETES_")
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def run(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    spec: RaySpec,
    around: Surroundings,
) -> Any:
    """Run the function on the workers of a Ray cluster and return what rank 0's call returned.

    The artifacts among `arguments` get the metadata that rank 0 gave them, and files that it
    wrote parameters into are there as if it had run here.
    """
    _end_orderly()
    checkpoints = _checkpoints(function, arguments, spec, around)
    key = _digest(checkpoints)[:12]
    warm = bool(around.site.ray_cluster)
    mark = {
        "labels": around.labels(ray_kubernetes.CLAIM),
        "annotations": around.annotations,
        "ownerReferences": [around.owner],
    }
    name = labels.name("ray", _last(around.step), key, longest=ray_kubernetes.LONGEST_NAME)
    with ray_claims.claim(
        around.cluster, name, metadata=mark, stays=warm, on_note=reports.note
    ) as claim:
        if not claim.first:
            checkpoints = f"{around.folder}/checkpoints"
        job = {
            "name": claim.name,
            "target": f"{function.__module__}:{function.__qualname__}",
            "code": around.code,
            "spec": spec.to_dict(),
            "threads": max(1, int(spec.cpus_per_worker)),
            "arguments": ray_worker.packed(arguments),
            "root": _task_root(),
            "checkpoints": checkpoints,
            "folder": around.folder,
            "owner": {"name": around.pod_name, "uid": around.pod_uid},
            "stays": warm,
        }
        around.store.write(f"{around.folder}/{ray_job.JOB}", json.dumps(job).encode())
        result = _remote(claim.name, spec, around).run()
        value = taken(result, arguments, spec)
        around.store.delete(checkpoints)
        return value


def _remote(name: str, spec: RaySpec, around: Surroundings) -> Remote:
    pod = around.pod["spec"]
    main = next((one for one in pod["containers"] if one["name"] == "main"), pod["containers"][0])
    plain = _plain_variables(around)
    asked = Asked(
        name=name,
        spec=spec,
        site=around.site,
        image=main["image"],
        ray_version=metadata.version("ray"),
        entrypoint=f"python -m headrace.executing.ray_job {around.folder}",
        labels={role: around.labels(role) for role in (ray_kubernetes.HEAD, ray_kubernetes.WORKER)},
        annotations=around.annotations,
        owner=around.owner,
        variables=variables(main.get("env") or (), plain, around.site.store.secret),
        variable_sources=tuple(main.get("envFrom") or ()),
        service_account=str(pod.get("serviceAccountName") or ""),
        pull_policy=str(main.get("imagePullPolicy") or "IfNotPresent"),
    )
    return Remote(
        asked=asked,
        cluster=around.cluster,
        store=around.store,
        folder=around.folder,
        on_report=reports.metrics,
        on_note=reports.note,
        on_line=_say,
        variables=plain
        | ray_kubernetes.WORKERS_PRINT
        | {
            one["name"]: one["value"]
            for one in asked.variables
            if "value" in one and one["name"] not in _CREDENTIALS
        },
    )


def variables(given: Any, plain: Mapping[str, str], secret: str) -> tuple[Mapping[str, Any], ...]:
    """The environment of the cluster's pods: the step's own, as its manifest has it.

    Args:
        given: The entries in the manifest of the step's container.
        plain: What is known of the site and the run; it wins.
        secret: The Secret with the store's credentials; empty where pods need none.
    """
    elsewhere = {*plain, *_OWN, *(_CREDENTIALS if secret else ())}
    kept = [
        one
        for one in given
        if one["name"] not in elsewhere
        and not one["name"].startswith(_FOREIGN)
        and "fieldRef" not in one.get("valueFrom", {})
    ]
    return (*kept, *pods.variables(plain, secret=secret, keys=_CREDENTIALS))


def _plain_variables(around: Surroundings) -> dict[str, str]:
    """What the workers' processes have to know of the site and the run."""
    found_out = (*PLAIN_VARIABLES, "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_RUN_ID")
    known = {
        **{name: os.environ.get(name, "") for name in found_out},
        context.SITE: around.site.to_json(),
        context.RUN: around.run,
        context.STEP: around.step,
        context.PIPELINE: around.pipeline,
        surroundings.ATTEMPT: str(around.attempt),
        surroundings.CODE: around.code,
        # The step's pod stays the owner of whatever is made on its behalf.
        surroundings.POD: around.pod_name,
        surroundings.POD_UID: around.pod_uid,
    }
    return {name: value for name, value in known.items() if value}


def taken(result: Mapping[str, Any], arguments: Mapping[str, Any], spec: RaySpec) -> Any:
    """Rank 0's value; its artifacts' state and its files are put in their places here."""
    if "raised" in result:
        raise failures.Described(dict(result["raised"]))
    if "lost" in result:
        lost = result["lost"]
        why = str(lost["why"])
        raise StepFailed(
            f"{why[:1].upper()}{why[1:]}; it was the group's {ordinal(lost['failures'])} loss "
            f"(max_failures={spec.max_failures}).",
            where=f"pod {lost['host']}",
            hint="if memory ran out: more of it for each worker, more workers or smaller batches",
        )
    if "broken" in result:
        raise StepFailed(
            f"Ray could not train: {result['broken']}", hint="the step's log has more of it"
        )
    gave = pickle.loads(base64.b64decode(result["outcome"]))  # noqa: S301
    for name, state in gave["artifacts"].items():
        vars(arguments[name]).update(state)
    for name, text in gave["files"].items():
        Path(arguments[name]).parent.mkdir(parents=True, exist_ok=True)
        Path(arguments[name]).write_text(text)
    return gave["value"]


def _checkpoints(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    spec: RaySpec,
    around: Surroundings,
) -> str:
    """The URI below which checkpoints are kept: the same for the same work."""
    told = os.environ.get(context.CHECKPOINTS, "")
    if told:
        return told.rstrip("/")
    uses = ray_worker.Uses(function, arguments)
    facts = {
        "function": f"{function.__module__}:{function.__qualname__}",
        "code": around.code,
        "spec": spec.to_dict(),
        "parameters": {
            name: repr(one) for name, one in arguments.items() if _is_parameter(name, one, uses)
        },
        "inputs": [around.store.digest(uri) for uri in uses.inputs],
    }
    return around.store.uri("checkpoints", _digest(json.dumps(facts, sort_keys=True)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_parameter(name: str, one: Any, uses: ray_worker.Uses) -> bool:
    listed = one if isinstance(one, list) else [one]
    paths = {str(path) for path in (*uses.inputs.values(), *uses.outputs.values())}
    return (
        name not in uses.files
        and not any(ray_worker.is_artifact(each) for each in listed)
        and not (isinstance(one, str) and one in paths)
    )


def _task_root() -> str:
    from kfp.dsl.types import artifact_types

    return str(artifact_types.CONTAINER_TASK_ROOT or "")


def _last(step: str) -> str:
    return step.rstrip("/").rpartition("/")[2]


def _say(line: str) -> None:
    """Print a line of a worker's. A report in it goes to the runner as it would from here."""
    own = bare(line)
    print(own if reports.read(own) else line, flush=True)


def _end_orderly() -> None:
    """Where nobody has said what a SIGTERM does, let it run the blocks that clear things away."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, leave)
