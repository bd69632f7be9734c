"""The job on a Ray head, on a real Ray cluster of this machine and a real object store.

The loops are deterministic, so that a disturbed training can be compared with an undisturbed
one on one machine bit for bit.
"""

import base64
import json
import os
import pickle
import signal
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from headrace.data.store import Store
from headrace.engines.ray import RaySpec
from headrace.executing import ray_job, ray_worker

pytestmark = [pytest.mark.engine, pytest.mark.cluster, pytest.mark.timeout(600)]

BUCKET = "headrace-test-ray-job"
LOOPS = """
import json, os, signal, tempfile
from pathlib import Path

import ray.train
import torch


def train(epochs: int, die_at: int = -1, raise_at: int = -1) -> list:
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    torch.manual_seed(7)
    rows = torch.randn(64, 4)
    truth = rows.sum(1, keepdim=True)
    network = ray.train.torch.prepare_model(torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
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
        if epoch == die_at and begin == 0 and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if epoch == raise_at and rank == 1:
            raise ValueError(f"rank {rank} had enough")
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if rank == 0:
                torch.save({"network": network.state_dict(), "epoch": epoch},
                           Path(folder, "state.pt"))
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report({"epoch": epoch, "name": "x"}, checkpoint=checkpoint)
    print(f"rank {rank} is done")
    weights = [one.detach().flatten().tolist() for one in network.parameters()]
    return [begin, sum(weights, [])]
"""


@pytest.fixture(scope="module")
def site():
    """Where the store is; without one, the tests are skipped."""
    if not os.environ.get("AWS_ENDPOINT_URL"):
        pytest.skip("no store: set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY")
    from urllib.parse import urlparse

    from pyarrow import fs

    where = urlparse(os.environ["AWS_ENDPOINT_URL"])
    files = fs.S3FileSystem(endpoint_override=where.netloc, scheme=where.scheme,
                            region="us-east-1", allow_bucket_creation=True,
                            allow_bucket_deletion=True)  # fmt: skip
    files.create_dir(BUCKET)
    yield {"store": {"url": f"s3://{BUCKET}/site", "endpoint": os.environ["AWS_ENDPOINT_URL"]}}
    for _ in range(6):  # a store that keeps folders removes the empty ones alone
        with suppress(OSError):
            files.delete_dir(BUCKET)
            break


@pytest.fixture(scope="module")
def store(site):
    return Store(
        url=site["store"]["url"], endpoint=site["store"]["endpoint"], region="us-east-1",
        key=os.environ["AWS_ACCESS_KEY_ID"], secret=os.environ["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def environment(site, tmp_path_factory):
    """The environment of all processes, which a pod's manifest would give them."""
    loops = tmp_path_factory.mktemp("project")
    (loops / "ray_loops.py").write_text(LOOPS)
    root = Path(__file__).parents[2] / "platform"
    return {
        **{name: one for name, one in os.environ.items() if not name.startswith("RAY_")},
        "HEADRACE_SITE": json.dumps(site),
        "PYTHONPATH": f"{root}:{loops}",
        "RAY_AUTH_MODE": "disabled",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
        "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
    }


@pytest.fixture(scope="module")
def ray_head(environment):
    """A Ray cluster of this machine: its address."""
    port = 26000 + os.getpid() % 2000
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=2",
        f"--port={port}", "--include-dashboard=false", "--no-monitor",
        f"--temp-dir=/tmp/hr-ray-{os.getpid()}",
    ]  # fmt: skip
    head = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    yield f"127.0.0.1:{port}"
    head.send_signal(signal.SIGTERM)
    try:
        head.wait(timeout=30)
    finally:
        subprocess.run(["rm", "-rf", f"/tmp/hr-ray-{os.getpid()}"], check=False)


@pytest.fixture
def run(environment, ray_head, store):
    """Runs a job to its end: its result, what it printed, and the events that it told."""

    def run(key=None, max_failures=2, **arguments):
        folder = store.uri("runs", uuid.uuid4().hex)
        job = {
            "name": "ray-train-1", "target": "ray_loops:train", "code": "",
            "spec": RaySpec(workers=2, max_failures=max_failures).to_dict(), "threads": 1,
            "arguments": ray_worker.packed(arguments), "root": "",
            "checkpoints": store.uri("checkpoints", key or uuid.uuid4().hex),
            "folder": folder, "owner": {"name": "step", "uid": "u"}, "stays": True,
        }  # fmt: skip
        store.write(f"{folder}/{ray_job.JOB}", json.dumps(job).encode())
        run.kept = lambda: store.listing(job["checkpoints"])
        done = subprocess.run(
            [sys.executable, "-m", "headrace.executing.ray_job", folder],
            env={**environment, "RAY_ADDRESS": ray_head}, capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip
        result = json.loads(store.read(f"{folder}/{ray_job.RESULT}"))
        lines = (store.read(f"{folder}/{ray_job.EVENTS}") or b"").decode().splitlines()
        run.files = sorted(store.listing(folder))
        return done, result, [json.loads(line) for line in lines]

    return run


def value(result):
    return pickle.loads(base64.b64decode(result["outcome"]))["value"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, environment):
    """The same loop on one machine, as a step there runs it."""
    from headrace.engines.ray_local import Group
    from headrace.executing import failures

    folder = tmp_path_factory.mktemp("checkpoints")
    reports = []
    sys.path.insert(0, environment["PYTHONPATH"].split(":")[1])
    import ray_loops

    group = Group(
        spec=RaySpec(workers=2), loop=lambda: ray_loops.train(epochs=5), checkpoints=folder,
        describe=failures.describe, on_report=lambda *one: reports.append(one),
        on_note=print,
    )  # fmt: skip
    return group.run()


def of(kind, events):
    return [one for one in events if one["type"] == kind]


def test_a_training_and_what_it_tells(run, undisturbed):
    done, result, events = run(epochs=5)
    assert done.returncode == 0, done.stdout + done.stderr
    begin, weights = value(result)
    assert begin == 0
    assert weights == pytest.approx(undisturbed[1], abs=1e-7)
    assert [(one["index"], one["metrics"]) for one in of("report", events)] == [
        (epoch, {"epoch": float(epoch)}) for epoch in range(5)
    ]
    assert result["events"] == len(events) == 6
    assert run.kept() == {}
    assert run.files == [
        "ray-result.json", "ray.json", "ray/events.jsonl", "ray/rank-0.log", "ray/rank-1.log",
    ]  # fmt: skip
    printed = done.stdout.splitlines()
    assert [one.partition(") ")[2] for one in printed if "is done" in one] in (
        ["rank 0 is done", "rank 1 is done"],
        ["rank 1 is done", "rank 0 is done"],
    )
    assert printed[-1] == '::ray:: {"type": "finished", "seq": 7}'
    assert ray_worker.DONE not in done.stdout


def test_a_killed_worker_restarts_the_group_from_the_store(run, undisturbed):
    done, result, events = run(epochs=5, die_at=3)
    assert done.returncode == 0, done.stdout + done.stderr
    begin, weights = value(result)
    assert begin in (2, 3)  # its last report may have died with it
    assert weights == pytest.approx(undisturbed[1], abs=1e-7)
    assert [one["index"] for one in of("report", events)] == [0, 1, 2, 3, 4]
    [lost] = of("lost", events)
    assert {name: lost[name] for name in ("rank", "failures", "checkpoint")} == {
        "rank": 1, "failures": 1, "checkpoint": begin - 1,
    }  # fmt: skip
    assert lost["said"].startswith("Worker unexpectedly exits with a connection error")


def test_losses_beyond_the_limit_end_it_and_the_next_attempt_goes_on(run, undisturbed):
    key = uuid.uuid4().hex
    done, result, events = run(key=key, epochs=5, die_at=3, max_failures=0)
    assert done.returncode == 1
    assert {name: result["lost"][name] for name in ("rank", "failures")} == {
        "rank": 1, "failures": 1,
    }  # fmt: skip
    seen = [one["index"] for one in of("report", events)]
    assert seen in ([0, 1], [0, 1, 2])
    assert run.kept()
    done, result, events = run(key=key, epochs=5, die_at=3, max_failures=0)
    assert done.returncode == 0, done.stdout + done.stderr
    begin, weights = value(result)
    assert begin == len(seen)
    assert weights == pytest.approx(undisturbed[1], abs=1e-7)
    assert seen + [one["index"] for one in of("report", events)] == [0, 1, 2, 3, 4]
    assert run.kept() == {}


def test_a_loop_that_raises_is_not_tried_again(run):
    done, result, events = run(epochs=5, raise_at=2)
    assert done.returncode == 1
    assert result["raised"]["kind"] == "ValueError"
    assert result["raised"]["what"] == "ValueError: rank 1 had enough"
    assert result["raised"]["traceback"].endswith('raise ValueError(f"rank {rank} had enough")')
    assert [one["index"] for one in of("report", events)] in ([0], [0, 1])
    assert of("lost", events) == []
    assert len(of("started", events)) == 1


def test_unusable_checkpoints_are_said_and_left(run, store, undisturbed):
    key = uuid.uuid4().hex
    snapshot = store.uri("checkpoints", key, "train", "checkpoint_manager_snapshot.json")
    store.write(snapshot, b'{"checkpoint_report_indices": [4], "checkpoint_results": 3}')
    done, result, events = run(key=key, epochs=5)
    assert done.returncode == 0, done.stdout + done.stderr
    assert value(result)[0] == 0
    [note] = of("note", events)
    assert note["text"].startswith("the checkpoints that are there cannot be used: ")
    assert [one["index"] for one in of("report", events)] == [0, 1, 2, 3, 4]


def test_a_call_that_does_not_fit(run):
    done, result, _ = run(nonsense=1)
    assert done.returncode == 1
    assert result["raised"]["what"] == (
        "TypeError: train() got an unexpected keyword argument 'nonsense'"
    )
