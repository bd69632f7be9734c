"""What a step's pod knows of the site, of its run and of itself. Nothing of it on the laptop."""

from __future__ import annotations

import base64
import functools
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.cluster import contexts, labels
from headrace.cluster.client import Cluster, Manifest
from headrace.core import nodes
from headrace.core.errors import EnvironmentProblem
from headrace.data.store import Store, store_of
from headrace.executing import context
from headrace.executing.variables import PLAIN_VARIABLES
from headrace.sites.cluster import CONFIG_MAP, Site, discover, parse

POD = "HEADRACE_POD"
"""The pod's own name."""
POD_UID = "HEADRACE_POD_UID"
"""The pod's own unique id."""
ATTEMPT = "HEADRACE_ATTEMPT"
"""Which attempt at the step this is, from 1."""
CODE = "HEADRACE_CODE"
"""The digest of the code bundle."""
_KFP_RUN = "pipeline/runid"
_KFP_NODE = "workflows.argoproj.io/node-name"
_ADDRESS_SECONDS = 60.0
"""For how long a pod's address is waited for."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """A step's pod and what is around it."""

    site: Site
    """The site."""
    store: Store
    """The site's object store."""
    pod_name: str
    """This pod's name."""
    pod_uid: str
    """This pod's unique id."""
    run: str
    """The run's id."""
    step: str
    """The step's path in the pipeline."""
    pipeline: str
    """The pipeline's name."""
    code: str
    """The digest of the code bundle, `sha256:…`; empty without one."""
    attempt: int
    """Which attempt at the step this is, from 1."""

    @property
    def cluster(self) -> Cluster:
        """The cluster, as the pod's service account."""
        return contexts.inside()

    @property
    def pod(self) -> Manifest:
        """This pod, as the cluster has it now, its address included.

        A node that had lost the API server tells of a pod's address long after the pod has it.

        Raises:
            EnvironmentProblem: It is not there.
        """
        until = time.monotonic() + _ADDRESS_SECONDS
        while True:
            found = _pod(self.cluster, self.pod_name)
            if "podIP" in found["status"]:
                return found
            if time.monotonic() > until:
                raise EnvironmentProblem(
                    f"The cluster does not know the address of this pod, {self.pod_name}.",
                    where=self.cluster.where,
                    hint="has its node lost the API server? `kubectl get nodes` tells",
                )
            time.sleep(0.5)

    @property
    def owner(self) -> dict[str, Any]:
        """The ownerReference that makes this pod an object's owner: it goes when the pod goes."""
        return {
            "apiVersion": "v1", "kind": "Pod", "name": self.pod_name, "uid": self.pod_uid,
            "controller": True, "blockOwnerDeletion": False,
        }  # fmt: skip

    @property
    def folder(self) -> str:
        """The URI where this attempt's records and evidence go."""
        return step_folder(self.store, self.run, self.step, self.attempt)

    def labels(self, role: str) -> dict[str, str]:
        """The labels of an object that this step makes."""
        return labels.of_step(
            run=self.run,
            step=self.step,
            pipeline=self.pipeline,
            code=self.code,
            role=role,
            queue=self.site.queue,
        )

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations of an object that this step makes."""
        return {labels.STEP_PATH: self.step}


def step_folder(store: Store, run: str, step: str, attempt: int) -> str:
    """The URI where an attempt's records and evidence go."""
    return store.uri("runs", run, "steps", step, str(attempt))


@functools.lru_cache(maxsize=1)
def here() -> Surroundings | None:
    """The surroundings of this process; None where no cluster is around it.

    Raises:
        EnvironmentProblem: The pod's namespace is no site, or the pod may not read it.
    """
    if context.SITE in os.environ:
        return _told()
    if context.KFP_POD in os.environ and contexts.is_inside():
        return _found_out()
    return None


def _told() -> Surroundings:
    """In a pod that a client of ours has started: the environment says everything."""
    site = parse(
        json.loads(os.environ[context.SITE]), where=f"the environment variable {context.SITE}"
    )
    known = context.context()
    return Surroundings(
        site=site,
        store=store_of(site.store),
        pod_name=os.environ[POD],
        pod_uid=os.environ[POD_UID],
        run=known.run,
        step=known.step,
        pipeline=os.environ.get(context.PIPELINE, ""),
        code=os.environ.get(CODE, ""),
        attempt=int(os.environ.get(ATTEMPT, "1")),
    )


def _found_out() -> Surroundings:
    """In a pod of Kubeflow Pipelines: the namespace and the pod's own labels say it."""
    cluster = contexts.inside()
    site = discover(cluster)
    pod = _pod(cluster, os.environ[context.KFP_POD])
    meta = pod["metadata"]
    node = nodes.of_pod(str(meta.get("annotations", {}).get(_KFP_NODE, meta["name"])))
    credentials = secret_values(cluster, site.store.secret) if site.store.secret else {}
    found = Surroundings(
        site=site,
        store=store_of(site.store, credentials=credentials or None),
        pod_name=meta["name"],
        pod_uid=meta["uid"],
        run=str(meta.get("labels", {}).get(_KFP_RUN, meta["name"])),
        step=node.path,
        pipeline=_pipeline_name() or str(meta["name"]),
        code=os.environ.get(CODE, ""),
        attempt=node.attempt,
    )
    _fill_environment(found, credentials)
    return found


def _pipeline_name() -> str:
    """The pipeline's name, which KFP tells its launcher, the pod's first process, alone."""
    try:
        words = Path("/proc/1/cmdline").read_text().split("\0")
        return words[words.index("--pipeline_name") + 1]
    except (OSError, ValueError, IndexError):
        return ""


def _fill_environment(found: Surroundings, credentials: Mapping[str, str]) -> None:
    """Give this process what a client of ours gives the pods that it starts."""
    store = found.store
    variables = {
        **PLAIN_VARIABLES,
        **credentials,
        "MLFLOW_TRACKING_URI": found.site.mlflow.url,
        "MLFLOW_REGISTRY_URI": found.site.mlflow.url,
        context.RUN: found.run,
        context.STEP: found.step,
        context.PIPELINE: found.pipeline,
        context.CHECKPOINTS: store.uri("runs", found.run, "checkpoints", found.step),
    }
    os.environ.update({name: value for name, value in variables.items() if value})


def _pod(cluster: Cluster, name: str) -> Manifest:
    found = cluster.get("pods", name)
    if found is None:
        raise EnvironmentProblem(f"This pod, {name}, is not in its namespace.", where=cluster.where)
    return found


def secret_values(cluster: Cluster, name: str) -> dict[str, str]:
    """A Secret's content.

    Raises:
        EnvironmentProblem: There is no such Secret.
    """
    found = cluster.get("secrets", name)
    if found is None:
        raise EnvironmentProblem(
            f"The namespace has no Secret {name!r}.",
            where=cluster.where,
            hint=f"make it, or correct store.secret in the ConfigMap {CONFIG_MAP}",
        )
    return {key: base64.b64decode(one).decode() for key, one in found.get("data", {}).items()}
