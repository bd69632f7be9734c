"""Ray's own `ray.train` loop in forked workers: results, reports, and what a death does.

The loops below are deterministic, so that a disturbed run can be compared with an
undisturbed one bit for bit.
"""

import json
import os
import signal
import tempfile
import time
from collections import namedtuple
from multiprocessing import connection
from pathlib import Path

import pytest

from headrace.core.errors import StepFailed
from headrace.engines import ray_local
from headrace.engines.ray import RaySpec
from headrace.engines.ray_local import Group, WorkerRaised
from headrace.executing import failures

pytestmark = pytest.mark.engine

EPOCHS = 5


@pytest.fixture(scope="module", autouse=True)
def ray_and_torch():
    """Import both here once, as a fork server would: every worker is a fork of this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TRAIN_V2_ENABLED", "1")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        import ray.train.torch
        import torch

        threads = torch.get_num_threads()
        yield ray, torch
        torch.set_num_threads(threads)


class Told:
    """What a group said, through files: workers are processes of their own."""

    def __init__(self, folder):
        self.reports = folder / "reports.jsonl"
        self.notes = []

    def on_report(self, metrics, index):
        with self.reports.open("a") as out:
            out.write(json.dumps([index, dict(metrics)]) + "\n")

    @property
    def reported(self):
        lines = self.reports.read_text().splitlines() if self.reports.exists() else []
        return [json.loads(line) for line in lines]


@pytest.fixture
def group(tmp_path):
    """Makes a group of two workers that run a loop; `group.told` is what it said."""

    def make(loop, name="group", workers=2, max_failures=2):
        folder = tmp_path / name
        (folder / "checkpoints").mkdir(parents=True)
        make.told = Told(folder)
        make.checkpoints = folder / "checkpoints"
        return Group(
            spec=RaySpec(workers=workers, max_failures=max_failures),
            loop=loop,
            checkpoints=folder / "checkpoints",
            describe=failures.describe,
            on_report=make.told.on_report,
            on_note=make.told.notes.append,
        )

    return make


def train(disturb=lambda rank, epoch, begun_at: None):
    """A DDP training loop with a checkpoint per epoch, as Ray's documentation writes it."""
    import ray.train
    import ray.train.torch
    import torch

    rank = ray.train.get_context().get_world_rank()
    torch.manual_seed(7)
    model = ray.train.torch.prepare_model(torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    begin = 0
    found = ray.train.get_checkpoint()
    if found:
        with found.as_directory() as folder:
            state = torch.load(Path(folder, "state.pt"), weights_only=True)
        model.module.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        begin = state["epoch"] + 1
    for epoch in range(begin, EPOCHS):
        data = torch.randn(16, 4, generator=torch.Generator().manual_seed(100 * rank + epoch))
        loss = (model(data) - data.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        disturb(rank, epoch, begin)
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if rank == 0:
                state = {"model": model.module.state_dict(), "optimizer": optimizer.state_dict()}
                torch.save({**state, "epoch": epoch}, Path(folder, "state.pt"))
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report({"epoch": epoch, "bias": model.module.bias.item()}, checkpoint)
    assert not ray.is_initialized()  # no cluster, not even one that Ray starts unasked
    weights = [one.tolist() for one in model.module.parameters()]
    return {"begin": begin, "weights": weights}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, ray_and_torch):
    """The result of the loop when nothing happens, and what it reported."""
    folder = tmp_path_factory.mktemp("undisturbed")
    told = Told(folder)
    result = Group(
        spec=RaySpec(workers=2), loop=train, checkpoints=folder, describe=failures.describe,
        on_report=told.on_report, on_note=told.notes.append,
    ).run()  # fmt: skip
    assert told.notes == []
    return result["weights"], told.reported


def test_workers_know_one_another(group):
    """Two processes of this one, in one gloo group; rank 0's result is the group's."""

    def loop():
        import ray.train
        import torch
        import torch.distributed as dist

        context = ray.train.get_context()
        pids = torch.zeros(2, dtype=torch.int64)
        pids[context.get_world_rank()] = os.getpid()
        dist.all_reduce(pids)
        return {
            "pids": pids.tolist(),
            "parent": os.getppid(),
            "backend": dist.get_backend(),
            "world": (context.get_world_size(), context.get_world_rank()),
            "local": (context.get_local_world_size(), context.get_local_rank()),
            "threads": torch.get_num_threads(),
        }

    result = group(loop).run()
    pids = result.pop("pids")
    assert len({*pids, os.getpid()}) == 3
    assert result == {
        "parent": os.getpid(), "backend": "gloo", "world": (2, 0), "local": (2, 0), "threads": 1,
    }  # fmt: skip


def test_a_group_of_one(group):
    def loop():
        import ray.train

        context = ray.train.get_context()
        ray.train.report({"loss": 0.5})
        return context.get_world_size(), context.get_world_rank(), ray.train.get_checkpoint()

    assert group(loop, workers=1).run() == (1, 0, None)
    assert group.told.reported == [[0, {"loss": 0.5}]]


def test_reported_metrics(group):
    """Rank 0's numbers, an index each; what is no number is not a metric."""

    def loop():
        import numpy
        import ray.train

        rank = ray.train.get_context().get_world_rank()
        for step in range(3):
            half = numpy.float32(step / 2)
            ray.train.report({"half": half, "rank": rank, "note": "x", "best": True})

    assert group(loop).run() is None
    assert group.told.reported == [
        [0, {"half": 0.0, "rank": 0}],
        [1, {"half": 0.5, "rank": 0}],
        [2, {"half": 1.0, "rank": 0}],
    ]
    assert list(group.checkpoints.iterdir()) == []


def test_only_the_latest_checkpoint_is_kept(group, undisturbed):
    result = group(train).run()
    assert (result["begin"], result["weights"]) == (0, undisturbed[0])
    assert group.told.reported == undisturbed[1]
    assert [one.name for one in group.checkpoints.iterdir()] == [f"checkpoint_{EPOCHS - 1:06}"]


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("epoch", [0, 3])
def test_a_killed_worker(group, undisturbed, victim, epoch):
    """The group begins again at the last checkpoint and comes to the same weights, bit for bit."""

    def disturb(rank, now, begun_at):
        if rank == victim and now == epoch and begun_at == 0 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    made = group(lambda: train(disturb))
    flag = group.checkpoints.parent / "killed"
    result = made.run()
    assert result == {"begin": epoch, "weights": undisturbed[0]}
    start = f"checkpoint {epoch - 1}" if epoch else "the beginning"
    assert group.told.notes == [
        f"worker {victim} was killed by SIGKILL; restarting from {start} (1 of 2)"
    ]
    assert group.told.reported == undisturbed[1]  # the lost epoch was not reported twice


def test_a_checkpoint_cut_short_is_not_begun_from(group, undisturbed):
    """What a death left half-written is gone before the next checkpoint takes its place."""

    def disturb(rank, epoch, begun_at):
        if rank == 1 and epoch == 2 and begun_at == 0:
            half = group.checkpoints / ".000002"
            half.mkdir(exist_ok=True)  # rank 0 may have begun it already
            (half / "leftover.pt").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)

    def loop():
        import ray.train

        result = train(disturb)
        with ray.train.get_checkpoint().as_directory() as folder:
            return result, sorted(os.listdir(folder)), sorted(os.listdir(group.checkpoints))

    # Epoch 2's checkpoint is the one that would take the leftovers in.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.EPOCHS", 3)
        result, files, folders = group(loop).run()
    assert (result["begin"], files, folders) == (2, ["state.pt"], ["checkpoint_000002"])


def test_workers_killed_too_often(group):
    def loop():
        import ray.train

        if ray.train.get_context().get_world_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        ray.train.report({"never": 0})

    with pytest.raises(StepFailed) as failed:
        group(loop, max_failures=1).run()
    assert str(failed.value) == (
        "Worker 1 was killed by SIGKILL, the group's second loss (max_failures=1).\n"
        "  try: SIGKILL without anybody's doing usually means that memory ran out: fewer workers "
        "or smaller batches"
    )
    assert group.told.notes == [
        "worker 1 was killed by SIGKILL; restarting from the beginning (1 of 1)"
    ]


@pytest.mark.parametrize("status", [0, 3])
def test_a_worker_that_ends_itself(group, status):
    """It took no leave: that counts as a loss too, whatever its status."""

    def loop():
        os._exit(status)

    how = f"^Worker 0 was killed by its own exit with status {status},"
    with pytest.raises(StepFailed, match=how):
        group(loop, workers=1, max_failures=0).run()


def fails_in_rank_1():
    import ray.train
    import torch
    import torch.distributed as dist

    if ray.train.get_context().get_world_rank() == 1:
        raise ValueError("the user's own")
    dist.all_reduce(torch.zeros(1))


@pytest.fixture
def looks_late(monkeypatch):
    """Has the group look at its workers for the first time after some seconds, as on a machine
    with too much to do."""
    wait = connection.wait

    def set_to(seconds):
        pauses = [seconds]

        def late(*words, **options):
            time.sleep(pauses.pop() if pauses else 0)
            return wait(*words, **options)

        monkeypatch.setattr(ray_local.connection, "wait", late)

    return set_to


@pytest.mark.parametrize("pause", [0, 2])
def test_the_error_of_the_worker_that_raised_first(group, looks_late, pause):
    """Rank 0 fails as well, because its partner is gone: its gloo error is not the one told,
    not even when the group looks late and finds both."""

    looks_late(pause)
    with pytest.raises(WorkerRaised) as raised:
        group(fails_in_rank_1).run()
    description = raised.value.description
    assert raised.value.rank == 1
    assert description.pop("traceback").splitlines()[-1].strip() == (
        'raise ValueError("the user\'s own")'
    )
    assert description == {
        "kind": "ValueError", "what": "ValueError: the user's own", "where": [], "hint": "",
        "exit_code": 1,
    }  # fmt: skip
    assert group.told.notes == []


def test_a_death_is_told_from_the_errors_that_follow(group, looks_late):
    """Rank 1 is killed, rank 0's exchange with it raises: that is a loss, and the group begins
    again, even when it looks late."""

    def loop():
        import ray.train
        import torch
        import torch.distributed as dist

        if ray.train.get_context().get_world_rank() == 1 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        total = torch.ones(1)
        dist.all_reduce(total)
        return total.item()

    made = group(loop)
    flag = group.checkpoints.parent / "killed"
    looks_late(2)
    assert made.run() == 2.0
    assert group.told.notes == [
        "worker 1 was killed by SIGKILL; restarting from the beginning (1 of 2)"
    ]


def test_no_worker_survives_the_group(group):
    """When one fails, the others are ended, in whatever they are."""

    def loop():
        import ray.train

        rank = ray.train.get_context().get_world_rank()
        (group.checkpoints / f".pid-{rank}").write_text(str(os.getpid()))
        if rank == 1:
            while not (group.checkpoints / ".pid-0").exists():
                time.sleep(0.01)
            raise ValueError("enough")
        time.sleep(300)

    with pytest.raises(WorkerRaised):
        group(loop).run()
    pids = [int((group.checkpoints / f".pid-{rank}").read_text()) for rank in (0, 1)]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_several_named_results(group):
    """A step with several outputs returns a named tuple, of a class that exists nowhere else."""

    def loop():
        made = namedtuple("Outputs", ["accuracy", "epochs"])
        return made(0.5, 3)

    result = group(loop, workers=1).run()
    assert result._asdict() == {"accuracy": 0.5, "epochs": 3}


def test_a_result_that_cannot_be_handed_over(group):
    with pytest.raises(WorkerRaised) as raised:
        group(lambda: (one for one in ()), workers=1, max_failures=0).run()
    assert raised.value.description["what"] == "TypeError: cannot pickle 'generator' object"


def test_loops_may_load_data_in_processes_of_their_own(group):
    """torch's DataLoader with workers, as training loops have it."""

    def loop():
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        data = TensorDataset(torch.arange(8.0))
        loader = DataLoader(data, batch_size=4, num_workers=1)
        return sum(batch.sum().item() for (batch,) in loader)

    assert group(loop).run() == 28.0
