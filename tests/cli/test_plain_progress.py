"""Progress in a pipe or a CI log: a line at each step's start and end, and no more."""

from headrace.cli.progress import advance
from headrace.cli.render.plain import progress_line
from headrace.cli.view import RunView


def lines(run):
    view, told = RunView(), []
    for event in run.events:
        view = advance(view, event)
        if line := progress_line(view, event):
            told.append(line.split(" ", 1)[1])
    return told


def test_each_step_is_told_at_its_start_and_its_end(recorded):
    run = recorded("digits", load="python", train="ray", check="python", report="python")
    run.finish(0.1, "load", state="reused", reused_from="digits-1", seconds=0.0)
    run.start(0.2, "train", "ray")
    run.add(1, "step_metric", step="train", metrics={"auc": 0.5}, index=1)
    run.add(2, "step_note", step="train", text="worker 1 died, restarting from checkpoint 3")
    run.start(3, "train", "ray", attempt=2)
    run.finish(9, "train", engine="ray", seconds=8.8, attempt=2, metrics={"auc": 0.7})
    run.start(9, "check").finish(
        9.5, "check", seconds=0.5, state="failed", error={"what": "ValueError: no\nmore"}
    )
    run.finish(9.5, "report", state="skipped", reason="check failed", seconds=0.0)
    run.end(9.6)
    assert lines(run) == [
        "run flights-20261124-081500-7c1e of digits started, 4 steps",
        "load reused from digits-1",
        "train started (ray)",
        "train: worker 1 died, restarting from checkpoint 3",
        "train started (ray, attempt 2)",
        "train succeeded after 8.8 s: attempt 2 · auc 0.7",
        "check started (python)",
        "check failed after 0.5 s: ValueError: no",
        "report skipped: check failed",
    ]
