"""`headrace runs` and `headrace logs` on recorded journals."""

import json
import threading
import time

import pytest

from headrace.core.states import State


@pytest.fixture
def runs(tmp_path):
    return tmp_path / ".headrace" / "runs"


def named(run, name, at=0.0):
    run.run = run.events[0]["run"] = name
    for event in run.events:
        event["time"] += at
    return run


@pytest.fixture
def three(runs, flights_promoted, flights_failed, flights_at_work):
    named(flights_promoted, "flights-1", 0).write(runs)
    named(flights_failed, "flights-2", 100).write(runs)
    flights_at_work.events[0]["pid"] = 2**22 + 1  # beyond Linux's largest: never there
    named(flights_at_work, "digits-3", 200).write(runs)


def test_the_table_has_a_line_per_run_and_the_latest_is_the_last(headrace, three):
    said = headrace("runs")
    assert said.code == 0
    assert [line[2:] if line[1] == " " else line for line in said.lines] == [
        "run          started         took  steps   result",
        "flights-1  24 Nov 08:00    1:08  6       flight-delays/3 · champion",
        "flights-2  24 Nov 08:01  44.5 s  1 of 6  train failed",
        "digits-3   24 Nov 08:03          1 of 6  killed",
    ]
    assert [line[0] for line in said.lines[1:]] == ["✔", "✘", "■"]


def test_fewer_runs_can_be_asked_for(headrace, three):
    said = headrace("runs", "-n", "1")
    assert said.lines[1].startswith("■ digits-3")
    assert said.lines[2] == "2 older: headrace runs --last 3"


def test_a_pipeline_without_runs_names_near_misses(headrace, three):
    assert [line["run"] for line in json.loads(headrace("runs", "--json").out)] == [
        "flights-1",
        "flights-2",
        "digits-3",
    ]
    said = headrace("runs", "--pipeline", "fligths")
    assert said.code == 2
    assert said.err == (
        "error: There is no run of a pipeline 'fligths'.\n  try: Did you mean 'flights'?\n"
    )


def test_the_list_for_programs(headrace, three):
    first = json.loads(headrace("runs", "--json").out)[0]
    assert first == {
        "run": "flights-1",
        "name": "flights-1",
        "pipeline": "flights",
        "site": None,
        "state": "succeeded",
        "exit_code": 0,
        "started": 1_795_507_200.0,
        "seconds": 68.2,
        "parameters": {"epochs": 5},
        "code_digest": "sha256:4f1a",
        "steps": {"succeeded": 6},
        "metrics": first["metrics"],
        "models": [
            {"name": "flight-delays", "version": "3", "uri": "models:/flight-delays/3"},
        ],
        "gates": [
            {
                "promoted": True,
                "alias": "champion",
                "model": "flight-delays/3",
                "gate": "auc >= champion.auc",
                "reasons": ["auc 0.712 >= champion.auc 0.708"],
                "figures": {"auc": 0.712345, "champion.auc": 0.7081},
                "champion": 2,
            }
        ],
        "endpoints": [{"url": "http://127.0.0.1:43121", "model": "flight-delays"}],
        "error": None,
        "folder": first["folder"],
    }
    assert first["metrics"]["train"] == {"auc": 0.721}


def test_one_run_for_programs_holds_its_steps_and_its_error(headrace, three):
    whole = json.loads(headrace("runs", "flights-2", "--json").out)
    assert (whole["state"], whole["exit_code"]) == ("failed", 1)
    assert whole["error"]["what"] == "KeyError: 'dep_dela'"
    assert whole["steps"][1] == {
        "step": "train",
        "name": "train",
        "engine": "ray",
        "state": "failed",
        "attempt": 2,
        "seconds": 22.2,
        "reused_from": None,
        "reason": "",
        "outputs": {},
        "artifacts": {},
        "logs": ["logs/train.log"],
        "error": whole["error"],
    }


def test_a_run_is_summed_up_by_its_beginning_or_as_the_latest(headrace, three):
    assert headrace("runs", "flights-1").lines[0] == (
        "✔ flights succeeded in 1 min 08 s   run flights-1"
    )
    assert headrace("runs", "latest").lines[0] == "■ flights was killed   run digits-3"


def test_an_unknown_run_names_near_misses(headrace, three, runs):
    said = headrace("runs", "flights-9")
    assert said.code == 2
    assert said.err == (
        "error: There is no run 'flights-9'.\n"
        f"   at: {runs}\n"
        "  try: Did you mean 'flights-2' or 'flights-1'?\n"
    )


def test_where_nothing_has_run_the_list_says_how_to_begin(headrace, tmp_path):
    assert headrace("runs").out == (
        f"There is no run in {tmp_path}/.headrace yet. Start one: headrace run pipelines/NAME\n"
    )
    assert json.loads(headrace("runs", "--json").out) == []


def test_another_home_can_be_named(headrace, three, tmp_path):
    (tmp_path / ".headrace").rename(tmp_path / "elsewhere")
    said = headrace("runs", "--home", "elsewhere", "latest")
    assert said.code == 0
    assert "MLflow    headrace open --home elsewhere" in said.lines


@pytest.fixture
def logged(runs, recorded):
    run = recorded("digits", load="python", **{"for-loop-1/train": "ray"}, late="python")
    run.start(1, "load").finish(2, "load", seconds=1.0)
    for number in (0, 1):
        step = f"for-loop-1/{number}/train"
        run.start(2, step, "ray", name=f"train[{number}]")
        run.finish(3, step, engine="ray", name=f"train[{number}]", seconds=1.0)
    run.finish(3, "late", state="reused", reused_from="digits-0", seconds=0.0)
    folder = named(run.end(4), "digits-1").write(runs)
    (folder / "logs" / "load.log").write_text("read 1\nread 2\nread 3")
    (folder / "logs" / "for-loop-1.0.train.log").write_text("10%\r50%\r100%\nloss 0.5\n")
    (folder / "logs" / "for-loop-1.1.train.log").write_bytes(b"\xff broken \xe2\x9c\x94\r\n")
    return folder


def test_all_logs_are_told_apart_by_their_steps(headrace, logged):
    assert headrace("logs").lines == [
        "load │ read 1",
        "load │ read 2",
        "load │ read 3",
        "train[0] │ 100%",
        "train[0] │ loss 0.5",
        "train[1] │ � broken ✔",
    ]


def test_one_step_is_shown_as_it_wrote(headrace, logged):
    assert headrace("logs", "latest", "load").lines == ["read 1", "read 2", "read 3"]
    assert headrace("logs", "digits", "load", "--tail", "1").lines == ["read 3"]


def test_a_loops_name_means_all_of_it(headrace, logged):
    assert len(headrace("logs", "latest", "train").lines) == 3
    assert headrace("logs", "latest", "train[1]").lines == ["� broken ✔"]


def test_logs_for_programs_are_a_line_of_json_each(headrace, logged):
    lines = headrace("logs", "latest", "load", "--json").lines
    assert [json.loads(line) for line in lines] == [
        {"step": "load", "text": f"read {number}"} for number in (1, 2, 3)
    ]


def test_a_reused_step_says_where_its_log_is(headrace, logged):
    said = headrace("logs", "latest", "late")
    assert (said.code, said.out) == (0, "")
    assert said.err == "late was reused: headrace logs digits-0 late\n"


def test_an_unknown_step_names_near_misses(headrace, logged):
    said = headrace("logs", "latest", "laod")
    assert said.code == 2
    assert said.err == ("error: Run digits-1 has no step 'laod'.\n  try: Did you mean 'load'?\n")


def test_following_shows_lines_as_they_come_and_ends_with_the_run(headrace, runs, recorded):
    import os

    from headrace.sites.journal import process_start

    run = recorded("digits", load="python", train="python").start(1, "load")
    run.events[0] |= {"pid": os.getpid(), "pid_start": process_start(os.getpid())}
    folder = named(run, "digits-1").write(runs)
    (folder / "logs" / "load.log").write_text("read 1\nrea")
    written = len(run.events)

    def go_on():
        time.sleep(0.6)
        with (folder / "logs" / "load.log").open("a") as log:
            log.write("d 2\nread 3")
        run.finish(2, "load").start(3, "train")
        (folder / "logs" / "train.log").write_text("loss 0.5\n")
        run.finish(4, "train").end(5, State.SUCCEEDED)
        with (folder / "events.jsonl").open("a") as journal:
            journal.writelines(json.dumps(event) + "\n" for event in run.events[written:])

    writer = threading.Thread(target=go_on)
    writer.start()
    said = headrace("logs", "latest", "-f")
    writer.join()
    assert said.lines == ["load │ read 1", "load │ read 2", "load │ read 3", "train │ loss 0.5"]
