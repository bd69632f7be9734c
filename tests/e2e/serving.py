"""What the tests of served models stand on: versions in a site's registry, and load on a server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.cluster import pods
from headrace.cluster.client import Cluster
from headrace.cluster.errors import ClusterProblem
from headrace.registry.context import Context
from headrace.registry.registering import register_model
from headrace.sites.home import Home

LOAD = Path(__file__).parent / "programs" / "load.py"
MODEL = '''\
import mlflow


class Versioned(mlflow.pyfunc.PythonModel):
    """Answers its version."""

    def load_context(self, context):
        {load}

    def predict(self, context, model_input, params=None):
        return [{version}] * len(model_input)


mlflow.models.set_model(Versioned())
'''


def register(folder: Path, tracking_uri: str, name: str, version: int, load: str = "pass") -> None:
    """Register a model from code that answers `version`.

    Args:
        folder: For its files.
        tracking_uri: The registry.
        name: The registered model.
        version: What it answers, and the version that it is to become.
        load: A statement that it executes while it is loaded.
    """
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import infer_signature

    code, saved = folder / f"{name}_{version}.py", folder / f"{name}-{version}"
    code.write_text(MODEL.format(version=version, load=load))
    mlflow.pyfunc.save_model(
        str(saved),
        python_model=str(code),
        signature=infer_signature(pd.DataFrame({"x": [0.0]}), [1]),
        pip_requirements=[],
    )
    assert _registered(saved, tracking_uri, name) == version


def register_torch(folder: Path, tracking_uri: str, name: str) -> None:
    """Register a module that doubles a number."""
    import mlflow.pytorch
    import numpy as np
    import torch
    from mlflow.models import infer_signature

    doubling = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(doubling.weight, 2.0)
    example = np.ones((1, 1), np.float32)
    mlflow.pytorch.save_model(
        doubling,
        str(folder / name),
        signature=infer_signature(example, example),
        input_example=example,
        serialization_format="pickle",
        pip_requirements=[f"torch=={torch.__version__}"],
    )
    _registered(folder / name, tracking_uri, name)


def _registered(saved: Path, tracking_uri: str, name: str) -> int:
    context = Context(
        tracking_uri=tracking_uri, home=Home(root=saved), run="", step="", pipeline=""
    )
    return register_model(saved, name, context=context).version


def run_pod(
    cluster: Cluster, name: str, image: str, command: list[str],
    labels: Mapping[str, str] | None = None, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """Start a pod of ours that runs a command."""
    variables = pods.variables(more.pop("variables", {}))
    return cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": dict(labels or {})},
            "spec": {
                "restartPolicy": "Never",
                "securityContext": pods.pod_security(),
                "volumes": pods.volumes(),
                "containers": [
                    {
                        "name": "main",
                        "image": image,
                        "command": command,
                        "env": variables,
                        "resources": pods.resources("50m", "1Gi"),
                        "securityContext": pods.container_security(),
                        "volumeMounts": pods.mounts(),
                    }
                ],
                **more,
            },
        }
    )


@dataclass(kw_only=True)
class Load:
    """A pod that asks a server without pause."""

    cluster: Cluster
    name: str
    lines: list[str] = field(default_factory=list)

    @property
    def summary(self) -> dict[str, Any]:
        """What it was answered so far."""
        told = [one for one in self.lines if one.startswith('{"answers"')]
        found: dict[str, Any] = json.loads(told[-1]) if told else {"answers": {}, "errors": []}
        return found

    def follow(self) -> None:
        """Take in its lines until it is gone; asked again, it begins anew with the first."""
        while self.cluster.get("pods", self.name) is not None:
            with suppress(ClusterProblem):
                for line in self.cluster.logs(self.name, follow=True):
                    self.lines.append(line)
            time.sleep(0.2)


@contextmanager
def load(
    cluster: Cluster, image: str, url: str, *, new: int, kept: int, pause: float
) -> Iterator[Load]:
    """Load on a server from a pod of the cluster, until the block ends; then its whole summary."""
    name = "load"
    told = ["python", "-c", LOAD.read_text(), url, str(new), str(kept), str(pause)]
    run_pod(cluster, name, image, told)
    made = Load(cluster=cluster, name=name)
    thread = threading.Thread(target=made.follow, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        cluster.delete("pods", name)
        thread.join(60)


def until(what: Callable[[], Any], seconds: float) -> Any:
    """Ask until the answer is true, and return it; the last answer if time runs out."""
    end = time.monotonic() + seconds
    while not (answer := what()) and time.monotonic() < end:
        time.sleep(1)
    return answer
