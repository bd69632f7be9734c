"""From an attempt at a step to the Job whose pod runs it on a cluster. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.cluster import labels, pods
from headrace.data.store import KEY_VARIABLE, SECRET_VARIABLE
from headrace.executing import context, surroundings
from headrace.executing.variables import PLAIN_VARIABLES
from headrace.running.overrides import Overrides
from headrace.sites.cluster import Site

STEP_CONTAINER = "step"
USER_CONTAINER = "container"
WORKSPACE = "/kfp-workspace"
"""Where the volume is mounted that the steps of a run share: where KFP mounts it."""
_WORKSPACE_VOLUME = "workspace"
_PYTHON = ["python", "-m", "headrace.executing.pod"]


@dataclass(frozen=True, kw_only=True)
class PodSpec:
    """What distinguishes one step's pod from another's."""

    run: str
    """The run's id."""
    step: str
    """The step's path."""
    pipeline: str
    """The pipeline's name."""
    code: str
    """The code bundle's digest; empty without one."""
    attempt: int
    """Which attempt it is, from 1."""
    kind: str
    """`python`, `spark` or `ray`: which image and defaults it has."""
    image: str
    """The image."""
    folder: str
    """The attempt's folder in the store."""
    checkpoints: str
    """Where training keeps its checkpoints, a URI."""
    command: tuple[str, ...] = ()
    """A container component's own command line; empty for Python steps."""
    command_image: str = ""
    """The image that it runs in."""
    environment: Mapping[str, str]
    """Variables that the pipeline sets."""
    resources: Mapping[str, Any]
    """Kubernetes' requests and limits."""
    overrides: Overrides
    """What the pipeline says for Kubernetes alone."""
    workspace: str = ""
    """The claim of the volume that the run's steps share; empty if they share none."""
    trusted: bool
    """Whether the step itself asks the cluster for something, as engines and serving do: then it
    leads other pods, which compute."""

    @property
    def name(self) -> str:
        """The Job's name: the same for the same attempt, whoever makes it."""
        return labels.name(self.run, self.step, str(self.attempt))


def step_job(spec: PodSpec, site: Site) -> dict[str, Any]:
    """The Job of an attempt: one pod, which is never replaced; it goes by itself in the end."""
    marks = labels.of_step(
        run=spec.run, step=spec.step, pipeline=spec.pipeline, code=spec.code,
        # What leads others holds no place in a queue in which they have to stand: with enough
        # of it at once none of theirs would ever be free.
        role="step", queue="" if spec.trusted else site.queue,
    )  # fmt: skip
    marks = marks | {labels.ATTEMPT: str(spec.attempt)}
    annotations = {labels.STEP_PATH: spec.step}
    template = {
        "metadata": {
            "labels": {**spec.overrides.labels, **marks},
            "annotations": {
                **spec.overrides.annotations,
                **annotations,
                # A step that moves to another node starts from the beginning.
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            },
        },
        "spec": _pod(spec, site),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": spec.name, "labels": marks, "annotations": annotations},
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": site.limits.step,
            "ttlSecondsAfterFinished": site.limits.keep,
            "template": template,
        },
    }


def workspace_claim(run: str, pipeline: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The claim of the volume that the steps of a run share.

    Args:
        run: The run's id.
        pipeline: The pipeline's name.
        settings: KFP's `workspace`, as `Compiled.workspace` gives it.
    """
    marks = {
        **labels.MANAGED,
        labels.RUN: labels.value(run),
        labels.PIPELINE: labels.value(pipeline),
        labels.ROLE: _WORKSPACE_VOLUME,
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": labels.name(run, _WORKSPACE_VOLUME), "labels": marks},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": settings["size"]}},
            **settings.get("kubernetes", {}).get("pvcSpecPatch", {}),
        },
    }


def _pod(spec: PodSpec, site: Site) -> dict[str, Any]:
    pull = [*site.pull_secrets, *spec.overrides.pull_secrets]
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": site.service_account,
        "automountServiceAccountToken": spec.trusted,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 20,
        "securityContext": pods.pod_security(),
        "nodeSelector": {**site.node_selector, **spec.overrides.node_selector},
        "tolerations": pods.tolerations(
            (*site.tolerations, *spec.overrides.tolerations), spec.resources
        ),
        "imagePullSecrets": [{"name": one} for one in pull],
        "volumes": [*pods.volumes(), *_shared_volume(spec), *spec.overrides.volumes],
    }
    if spec.command:
        pod["initContainers"] = [
            _ours(spec, site, "fetch", spec.image, "--part=fetch"),
            _users(spec),
        ]
        pod["containers"] = [_ours(spec, site, STEP_CONTAINER, spec.image, "--part=collect")]
    else:
        pod["containers"] = [_ours(spec, site, STEP_CONTAINER, spec.image)]
    return {key: one for key, one in pod.items() if one not in ({}, [])}


def _ours(spec: PodSpec, site: Site, name: str, image: str, *options: str) -> dict[str, Any]:
    """A container that runs our own program."""
    secret = site.store.secret
    variables = pods.variables(
        _environment(spec, site), secret=secret, keys=(KEY_VARIABLE, SECRET_VARIABLE)
    )
    users = [] if spec.command else [*pods.variables(spec.environment), *spec.overrides.variables]
    return {
        "name": name,
        "image": image,
        "command": [*_PYTHON, *options, spec.folder],
        "workingDir": "/work",
        "env": [*variables, *_from_pod(), *users],
        "envFrom": [] if spec.command else list(spec.overrides.variable_sources),
        "resources": dict(spec.resources),
        "securityContext": pods.container_security(),
        "volumeMounts": _our_mounts(spec),
    }


def _users(spec: PodSpec) -> dict[str, Any]:
    """A container component's own container, in its own image, with the folders it shares."""
    security = pods.container_security()
    # A foreign image may well need its own user, even root, and files that it can write to.
    for key in ("runAsUser", "runAsGroup", "readOnlyRootFilesystem"):
        del security[key]
    security["runAsNonRoot"] = False
    return {
        "name": USER_CONTAINER,
        "image": spec.command_image,
        "command": list(spec.command),
        "env": [*pods.variables(spec.environment), *spec.overrides.variables],
        "envFrom": list(spec.overrides.variable_sources),
        "resources": dict(spec.resources),
        "securityContext": security,
        "volumeMounts": [*pods.mounts(), *_shared_mount(spec), *spec.overrides.mounts],
    }


def _our_mounts(spec: PodSpec) -> list[Mapping[str, Any]]:
    """The user's own volumes concern the container that runs the user's code."""
    users = [] if spec.command else [*_shared_mount(spec), *spec.overrides.mounts]
    return [*pods.mounts(), *users]


def _shared_volume(spec: PodSpec) -> list[dict[str, Any]]:
    claim = {"persistentVolumeClaim": {"claimName": spec.workspace}}
    return [{"name": _WORKSPACE_VOLUME, **claim}] if spec.workspace else []


def _shared_mount(spec: PodSpec) -> list[dict[str, Any]]:
    mount = {"name": _WORKSPACE_VOLUME, "mountPath": WORKSPACE}
    return [mount] if spec.workspace else []


def _environment(spec: PodSpec, site: Site) -> dict[str, str]:
    variables = {
        **PLAIN_VARIABLES,
        "HOME": "/work",
        "MLFLOW_TRACKING_URI": site.mlflow.url,
        "MLFLOW_REGISTRY_URI": site.mlflow.url,
        context.SITE: site.to_json(),
        context.RUN: spec.run,
        context.STEP: spec.step,
        context.PIPELINE: spec.pipeline,
        context.CHECKPOINTS: spec.checkpoints,
        surroundings.ATTEMPT: str(spec.attempt),
        surroundings.CODE: spec.code,
    }
    return {name: value for name, value in variables.items() if value}


def _from_pod() -> list[dict[str, Any]]:
    """Variables that only the pod itself can know."""
    fields = {
        surroundings.POD: "metadata.name",
        surroundings.POD_UID: "metadata.uid",
    }
    return [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in fields.items()
    ]
