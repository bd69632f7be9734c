"""What a worker of a local group is told, before any of Ray or torch is there."""

from pathlib import Path

import pytest

from headrace.engines.ray import RaySpec
from headrace.engines.ray_local import worker_environment
from headrace.engines.ray_reports import latest_checkpoint


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)


def test_a_worker_on_the_cpu():
    spec = RaySpec(workers=3, cpus_per_worker=2)
    assert worker_environment(spec, rank=1, port=4711) == {
        "RANK": "1",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "3",
        "LOCAL_WORLD_SIZE": "3",
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "4711",
        "OMP_NUM_THREADS": "2",
        "GLOO_SOCKET_IFNAME": "lo",
        "CUDA_VISIBLE_DEVICES": "",
    }


def test_a_worker_with_a_gpu_sees_the_devices():
    told = worker_environment(RaySpec(workers=1, gpus_per_worker=1), rank=0, port=1)
    assert "CUDA_VISIBLE_DEVICES" not in told


def test_a_worker_with_part_of_a_core_has_one_thread():
    told = worker_environment(RaySpec(cpus_per_worker=0.5), rank=0, port=1)
    assert told["OMP_NUM_THREADS"] == "1"


def test_the_users_own_network_interface(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth7")
    told = worker_environment(RaySpec(), rank=0, port=1)
    assert told["GLOO_SOCKET_IFNAME"] == "eth7"


def test_the_specification_as_plain_values():
    assert RaySpec(workers=2, gpus_per_worker=1).to_dict() == {
        "workers": 2, "cpus_per_worker": 1, "gpus_per_worker": 1, "max_failures": 2,
    }  # fmt: skip


def test_the_latest_checkpoint(tmp_path: Path):
    assert latest_checkpoint(tmp_path / "nowhere") is None
    assert latest_checkpoint(tmp_path) is None
    (tmp_path / ".000012").mkdir()  # begun, never finished
    for index in (2, 10, 9):
        (tmp_path / f"checkpoint_{index:06}").mkdir()
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoint_000010"
