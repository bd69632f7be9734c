"""A run's journal: written a line at a time, read whole lines at a time."""

import json
import os
import subprocess
import sys
import time

import pytest

from headrace.core.errors import UsageError
from headrace.sites.home import Home
from headrace.sites.journal import (
    FILE,
    Journal,
    find_run,
    list_runs,
    process_alive,
    process_start,
    read_events,
    read_record,
)

GONE = {"pid": 2**22 + 1, "pid_start": "1"}
HERE = {"pid": os.getpid(), "pid_start": process_start(os.getpid())}


@pytest.fixture
def home(tmp_path):
    return Home(root=tmp_path)


def write(home, run, *events, started=100.0, process=GONE, **more):
    """A journal of a run that started at some second, with more events a second apart."""
    folder = home.run(run)
    folder.mkdir(parents=True)
    start = {
        "type": "run_started", "run": run, "pipeline": run.partition("-")[0],
        "parameters": {"a": 1}, **process, **more,
    }  # fmt: skip
    lines = [
        json.dumps({"time": started + index, **one}) for index, one in enumerate([start, *events])
    ]
    (folder / FILE).write_text("\n".join(lines) + "\n")
    return folder


END = {"type": "run_finished", "state": "succeeded", "seconds": 7.5, "error": None, "outputs": {}}


def test_there_and_back(tmp_path):
    journal = Journal(tmp_path / "run")
    before = time.time()
    first = journal.write({"type": "run_started", "run": "r", "text": "it's\nü", "n": [1, None]})
    second = journal.write({"type": "step_note", "path": tmp_path})
    journal.close()
    assert before <= first["time"] <= second["time"] <= time.time()
    assert {**first, "time": 0} == {
        "time": 0, "type": "run_started", "run": "r", "text": "it's\nü", "n": [1, None],
    }  # fmt: skip
    assert read_events(tmp_path / "run") == [first, {**second, "path": str(tmp_path)}]


def test_no_journal(tmp_path):
    assert read_events(tmp_path) == []
    assert read_record(tmp_path) is None
    assert list_runs(Home(root=tmp_path / "nowhere")) == []


def test_a_line_cut_short_is_left_out(home):
    folder = write(home, "a-1", {"type": "step_note", "text": "é"}, END)
    whole = (folder / FILE).read_bytes()
    events = read_events(folder)
    for cut in range(len(whole) + 1):
        (folder / FILE).write_bytes(whole[:cut])
        assert read_events(folder) == events[: whole[:cut].count(b"\n")]


def test_lines_that_are_no_events(home):
    folder = write(home, "a-1", END)
    with (folder / FILE).open("ab") as out:
        out.write(b'\n[]\n3\nnull\n\xff\xfe\n{"type": "step_note", "time": 1}\n')
    assert [one["type"] for one in read_events(folder)] == [
        "run_started", "run_finished", "step_note",
    ]  # fmt: skip


def test_a_line_end_inside_a_text_is_no_end_of_a_line(tmp_path):
    """Python splits text at more characters than the journal does."""
    journal = Journal(tmp_path)
    text = "a\u2028b\x85c\x0bd\x1ce\rf"
    journal.write({"type": "step_note", "text": text})
    journal.close()
    assert [one["text"] for one in read_events(tmp_path)] == [text]


@pytest.mark.parametrize(
    ("events", "process", "state", "killed", "seconds"),
    [
        ((END,), GONE, "succeeded", False, 7.5),
        (({**END, "state": "failed"},), GONE, "failed", False, 7.5),
        (({**END, "state": "cancelled"},), GONE, "cancelled", False, 7.5),
        ((), HERE, "running", False, None),
        ((), GONE, "cancelled", True, 0.0),
        (({"type": "step_note"}, {"type": "step_note"}), GONE, "cancelled", True, 2.0),
        ((), {**HERE, "pid_start": "1"}, "cancelled", True, 0.0),
    ],
)
def test_where_a_run_stands(home, events, process, state, killed, seconds):
    """Told by its last word, or else by whether its very process is there."""
    record = read_record(write(home, "a-1", *events, process=process))
    assert (record.state, record.killed, record.seconds) == (state, killed, seconds)
    assert (record.run_id, record.pipeline, record.started) == ("a-1", "a", 100.0)
    assert (record.parameters, record.folder) == ({"a": 1}, home.run("a-1"))


def test_runs_in_order(home):
    write(home, "b-2", END, started=300)
    write(home, "a-1", END, started=200)
    write(home, "c-3", END, started=100)
    (home.runs / "empty").mkdir()
    (home.runs / "file").touch()
    assert [one.run_id for one in list_runs(home)] == ["c-3", "a-1", "b-2"]


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("latest", "flights-2-bb"), ("flights-1-aa", "flights-1-aa"), ("flights-1", "flights-1-aa"),
        ("bb", "flights-2-bb"), ("digits", "digits-1-aa"),
    ],
)  # fmt: skip
def test_finding_a_run(home, text, run):
    for number, name in enumerate(("digits-1-aa", "flights-1-aa", "flights-2-bb")):
        write(home, name, END, started=number)
    assert find_run(home, text).run_id == run


@pytest.mark.parametrize(
    ("text", "run"),
    [("ours-a", "1f2e"), ("1f2e", "1f2e"), ("ours-b", "2f2e"), ("2f", "2f2e"), ("latest", "3f2e")],
)
def test_a_run_whose_id_is_another_servers_is_found_by_what_people_call_it(home, text, run):
    for number, called in enumerate(("ours-a", "ours-b", "twice", "twice")):
        write(home, f"{number + 1}f2e", END, started=9 - abs(2 - number), called=called)
    assert find_run(home, text).run_id == run
    with pytest.raises(UsageError, match=r"'twice' fits 2 runs.\n  try: .* of it: 4f2e, 3f2e"):
        find_run(home, "twice")
    write(home, "twice", END, started=1)
    assert find_run(home, "twice").folder == home.run("twice")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flights", "'flights' fits 2 runs.\n  try: say more of it: flights-1-aa, flights-2-bb"),
        ("aa", "'aa' fits 2 runs.\n  try: say more of it: digits-1-aa, flights-1-aa"),
        ("flights-1-ab", "There is no run 'flights-1-ab'.\n  at: {runs}\n"
         "  try: Did you mean 'flights-1-aa' or 'flights-2-bb' or 'digits-1-aa'?"),
    ],
)  # fmt: skip
def test_no_run_or_too_many(home, text, message):
    for number, name in enumerate(("digits-1-aa", "flights-1-aa", "flights-2-bb")):
        write(home, name, END, started=number)
    with pytest.raises(UsageError) as wrong:
        find_run(home, text)
    assert str(wrong.value) == message.format(runs=home.runs)


def test_no_runs_at_all(home):
    with pytest.raises(UsageError) as wrong:
        find_run(home, "latest")
    assert str(wrong.value) == (
        f"There is no run 'latest'.\n  at: {home.runs}\n  try: headrace runs"
    )


def test_processes():
    """A process is known by its id and its start; a dead one that nobody reaped is gone."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = process_start(process.pid)
    assert start is not None and start == process_start(process.pid)
    assert process_alive(process.pid, start)
    assert process_alive(process.pid, None)
    assert not process_alive(process.pid, "1")
    process.stdin.close()
    deadline = time.monotonic() + 20
    while process_alive(process.pid, start):  # it turns into a zombie: we have not waited for it
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert process_start(process.pid) is None
    process.wait()
    assert not process_alive(process.pid, start)


def test_a_process_with_a_strange_name():
    name = "a) R (b"
    process = subprocess.Popen(
        [sys.executable, "-c",
         f"open('/proc/self/comm', 'w').write({name!r}); print(flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.readline()
    start = process_start(process.pid)
    assert start.isdigit() and process_alive(process.pid, start)
    process.communicate(b"\n")
