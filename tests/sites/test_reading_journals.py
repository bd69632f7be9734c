"""A journal is read while it is written, and a dead runner is told from a living one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from headrace.sites.journal import Follower, process_alive, read_events


def test_only_complete_lines_are_taken_and_each_of_them_once(tmp_path: Path) -> None:
    journal = tmp_path / "events.jsonl"
    follower = Follower(tmp_path)
    assert follower.new() == []
    journal.write_text('{"type": "a"}\n{"type": "b"')
    assert follower.new() == [{"type": "a"}]
    assert follower.new() == []
    with journal.open("a") as file:
        file.write('}\n{"type": "c"}\n')
    assert follower.new() == [{"type": "b"}, {"type": "c"}]
    assert read_events(tmp_path) == [{"type": "a"}, {"type": "b"}, {"type": "c"}]


def test_torn_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b'{"type": "a"}\n{"ty\n[1]\n\xff\n\n{"type": "b"}\n')
    assert read_events(tmp_path) == [{"type": "a"}, {"type": "b"}]


def own_start() -> int:
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


def test_this_process_is_alive() -> None:
    assert process_alive(os.getpid(), str(own_start()))
    assert process_alive(os.getpid(), None)


def test_another_process_with_the_same_id_is_not_the_runner() -> None:
    assert not process_alive(os.getpid(), str(own_start() + 1))


def test_a_process_that_ended_is_not_alive_whether_reaped_or_not() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not process_alive(process.pid, None)
    process.wait()
    assert not process_alive(process.pid, None)
