"""Two workers in one pod share what was downloaded, and neither waits for the other's end."""

import multiprocessing

import pytest

from headrace.executing import ray_worker
from headrace.executing.ray_worker import _Held


class Shelf:
    """A store that counts what is fetched."""

    def __init__(self, folder):
        self.folder = folder

    def obtain(self, uri, path):
        path.write_text(uri)
        number = len(list(self.folder.glob("fetched-*")))
        (self.folder / f"fetched-{number}").touch()
        return ""


@pytest.fixture
def held(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_worker, "local_path", lambda uri: tmp_path / "s3")
    return lambda: _Held(Shelf(tmp_path), "s3://bucket/table", tmp_path / "table")


def test_a_second_worker_does_not_wait_for_the_first_to_end(held, tmp_path):
    first = held()
    first.fetch()
    second = multiprocessing.get_context("fork").Process(target=lambda: held().fetch())
    second.start()
    second.join(timeout=20)
    assert second.exitcode == 0
    assert len(list(tmp_path.glob("fetched-*"))) == 1
    assert (tmp_path / "table").read_text() == "s3://bucket/table"


def test_the_last_to_leave_clears_it_away(held, tmp_path):
    first, second = held(), held()
    first.fetch()
    second.fetch()
    first.release(clear=True)
    assert (tmp_path / "table").exists()
    second.release(clear=True)
    assert not (tmp_path / "table").exists()
