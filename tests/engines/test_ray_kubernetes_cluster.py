"""Ray steps on a real cluster, with the least rights that they need: results, deaths, remains.

The store is the one that AWS_ENDPOINT_URL names; HEADRACE_TEST_S3 says how pods reach it.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlparse

import pytest
import yaml

from headrace.cluster.contexts import connect, current_context

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.timeout(900)]

# Said before the tests' own environment is cleaned.
S3_FOR_PODS = os.environ.get("HEADRACE_TEST_S3", "http://s3.testbed:9000")
NAME = f"headrace-ray-{os.getpid()}"
RULES = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "delete"]},
    {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["get", "create", "delete"]},
    {"apiGroups": ["ray.io"], "resources": ["rayclusters"], "verbs": ["get"]},
]
"""What a Ray step asks of the cluster, and nothing more."""
STEPS = """
from typing import NamedTuple

from kfp.dsl import Dataset, Input, Metrics, Model, Output

import headrace as hr


@hr.step
def prepare(table: Output[Dataset]):
    from pathlib import Path

    import numpy

    rows = numpy.random.default_rng(0).normal(size=(256, 4)).astype("float32")
    with Path(table.path).open("wb") as out:
        numpy.save(out, rows)


class Trained(NamedTuple):
    loss: float
    begin: int


@hr.ray(workers=2)
def train(
    table: Input[Dataset], model: Output[Model], metrics: Output[Metrics],
    epochs: int = 4, pause: float = 0.0, hog_at: int = -1, raise_at: int = -1,
) -> Trained:
    import os, tempfile, time
    from pathlib import Path

    import numpy
    import ray.train.torch
    import torch

    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    torch.manual_seed(0)
    rows = torch.tensor(numpy.load(table.path))
    truth = rows.sum(1, keepdim=True)
    network = ray.train.torch.prepare_model(torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    begin, found = 0, ray.train.get_checkpoint()
    if found:
        with found.as_directory() as folder:
            state = torch.load(Path(folder, "state.pt"), weights_only=True)
        network.load_state_dict(state["network"])
        begin = state["epoch"] + 1
    for epoch in range(begin, epochs):
        loss = ((network(rows[rank::size]) - truth[rank::size]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            whole = ((network(rows) - truth) ** 2).mean().item()
        time.sleep(pause)
        if epoch == raise_at and rank == 1:
            raise ValueError("rank 1 had enough")
        held = []
        while epoch == hog_at and begin == 0 and rank == 1:
            held.append(os.urandom(2**20) * 32)
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if rank == 0:
                torch.save({"network": network.state_dict(), "epoch": epoch},
                           Path(folder, "state.pt"))
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report({"loss": whole}, checkpoint=checkpoint)
    if rank == 0:
        Path(model.path).mkdir(parents=True)
        torch.save(network.state_dict(), Path(model.path, "weights.pt"))
        model.metadata["loss"] = whole
        metrics.log_metric("loss", whole)
    print(f"rank {rank} is done")
    return Trained(loss=whole, begin=begin)


@hr.step
def look(model: Input[Model], loss: float) -> list:
    import os

    return [round(loss, 5), round(model.metadata["loss"], 5), os.listdir(model.path)]
"""
PIPELINE = """
from kfp import dsl

import steps


@dsl.pipeline(name="ray")
def main(
    epochs: int = 4, pause: float = 0.0, hog_at: int = -1, raise_at: int = -1
) -> list:
    table = steps.prepare()
    trained = steps.train(
        table=table.outputs["table"], epochs=epochs, pause=pause, hog_at=hog_at,
        raise_at=raise_at,
    )
    return steps.look(model=trained.outputs["model"], loss=trained.outputs["loss"]).output
"""


@pytest.fixture(scope="module")
def cluster(images):
    """A namespace that is a site, whose steps have no more rights than they need."""
    if not os.environ.get("AWS_ENDPOINT_URL"):
        pytest.skip("no store: set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY")
    try:
        whole = connect(current_context())
        whole.ask("/version")
    except Exception as error:
        pytest.skip(f"no cluster: {getattr(error, 'what', error)}")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}}
    whole.ask("/api/v1/namespaces", method="POST", body=namespace)
    found = replace(whole, namespace=NAME)
    files = store()
    try:
        files.create_dir(NAME)
        for one in objects(yaml.safe_load(images.read_text())):
            found.apply(one)
        yield found
    finally:
        whole.ask(f"/api/v1/namespaces/{NAME}", method="DELETE")
        for _ in range(8):  # a store that keeps folders removes the empty ones alone
            with suppress(OSError):
                files.delete_dir(NAME)
                break


def store():
    from pyarrow import fs

    where = urlparse(os.environ["AWS_ENDPOINT_URL"])
    return fs.S3FileSystem(
        endpoint_override=where.netloc, scheme=where.scheme, region="us-east-1",
        allow_bucket_creation=True, allow_bucket_deletion=True,
    )  # fmt: skip


def objects(images):
    site = {
        "store": {
            "url": f"s3://{NAME}/site", "endpoint": S3_FOR_PODS,
            "client_endpoint": os.environ["AWS_ENDPOINT_URL"], "secret": "store",
        },
        **images,
        "service_account": "step",
        "defaults": {
            "python": {"cpu": "100m", "memory": "1Gi"},
            "ray": {"cpu": "100m", "memory": "1Gi"},
            "ray-head": {"cpu": "200m", "memory": "3Gi"},
            "ray-worker": {"cpu": "300m", "memory": "2Gi"},
        },
        "limits": {"pending": 240},
    }  # fmt: skip
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    rbac = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "step"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "store"},
         "stringData": {name: os.environ[name] for name in names}},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": "step"},
         "rules": RULES},
        {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": {"name": "step"},
         "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "step"},
         "subjects": [{"kind": "ServiceAccount", "name": "step", "namespace": NAME}]},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "headrace-site"},
         "data": {"site.yaml": yaml.safe_dump(site)}},
    ]  # fmt: skip


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "steps.py").write_text(STEPS)
    (folder / "pipeline.py").write_text(PIPELINE)
    return folder


def start(project, cluster=None, **parameters):
    """A run as a process; without a cluster on this machine."""
    command = [str(Path(sys.executable).with_name("headrace")), "run", str(project), "--json"]
    where = []
    if cluster:
        where = ["--on", cluster.context, "-n", cluster.namespace, "--direct", "--new"]
    given = [part for name, one in parameters.items() for part in ("-p", f"{name}={one}")]
    return subprocess.Popen(
        [*command, *where, *given],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(process):
    out, err = process.communicate(timeout=800)
    return process.returncode, json.loads(out), err


def pods(cluster, **wanted):
    """Running pods by labels; `role` and `step` are Headrace's own."""
    asked = ",".join(f"headrace.dev/{name}={one}" for name, one in wanted.items())
    return [
        one["metadata"]["name"]
        for one in cluster.list("pods", asked)
        if one["status"].get("phase") == "Running" and "deletionTimestamp" not in one["metadata"]
    ]


def until(check, seconds=400):
    limit = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.5)
    return found


def training(cluster):
    """Wait until epoch 1 was reported; the pods of head, workers and step."""
    [step] = until(lambda: pods(cluster, role="step", step="train"))
    until(lambda: any(one.startswith("[1] ") for one in cluster.logs(step)))
    return (*pods(cluster, role="ray-head"), pods(cluster, role="ray-worker"), step)


def log(result):
    """What a run's training has printed."""
    return Path(result["folder"], "logs/train.log").read_text()


def nothing_is_left(cluster):
    for kind in ("rayjobs", "rayclusters"):
        until(lambda kind=kind: not cluster.list(kind), 60)
    until(lambda: not cluster.list("pods", "ray.io/is-ray-node=yes"), 60)


def test_the_same_result_as_on_one_machine(cluster, project):
    code, here, _ = ended(start(project))
    assert code == 0
    code, there, said = ended(start(project, cluster))
    assert code == 0, said
    assert there["outputs"] == here["outputs"]
    text = log(there)
    assert "rank 0 is done" in text
    assert "rank 1 is done" in text
    nothing_is_left(cluster)


def test_a_worker_that_is_lost(cluster, project):
    _, undisturbed, _ = ended(start(project, epochs=6))
    run = start(project, cluster, epochs=6, pause=4)
    _, workers, _ = training(cluster)
    cluster.delete("pods", workers[0], grace=0)
    code, result, said = ended(run)
    assert code == 0, said
    assert result["outputs"] == undisturbed["outputs"]
    assert "was lost: its pod was deleted; restarting from checkpoint" in log(result)
    nothing_is_left(cluster)


def test_memory_that_ran_out_in_a_worker(cluster, project):
    code, result, said = ended(start(project, cluster, epochs=5, hog_at=2))
    assert code == 0, said
    told = [one for one in log(result).splitlines() if "worker 1 was lost: " in one]
    assert len(told) == 1
    assert "memory" in told[0]
    assert told[0].endswith("restarting from checkpoint 1 (1 of 2)")


def test_a_head_that_is_lost_and_the_run_after_it(cluster, project):
    run = start(project, cluster, epochs=7, pause=4)
    head, _, _ = training(cluster)
    cluster.delete("pods", head, grace=0)
    code, result, _ = ended(run)
    assert code == 1
    assert result["error"]["what"] == "Ray's head was deleted; its workers ended with it."
    nothing_is_left(cluster)
    code, result, said = ended(start(project, cluster, epochs=7, pause=4))
    assert code == 0, said
    reported = [one for one in log(result).splitlines() if one.startswith("[")]
    assert not any(one.startswith("[0] ") for one in reported)
    assert any(one.startswith("[6] ") for one in reported)


def test_nothing_outlives_the_steps_pod(cluster, project):
    run = start(project, cluster, epochs=50, pause=4)
    _, _, step = training(cluster)
    cluster.delete("pods", step, grace=0)
    code, _, _ = ended(run)
    assert code == 1
    nothing_is_left(cluster)


def test_an_error_of_the_users(cluster, project):
    _, here, _ = ended(start(project, raise_at=2))
    code, there, _ = ended(start(project, cluster, raise_at=2))
    assert code == 1
    for result in (here, there):
        assert result["error"]["what"] == "ValueError: rank 1 had enough"
        assert 'raise ValueError("rank 1 had enough")' in result["error"]["traceback"]
    nothing_is_left(cluster)
