"""Lines on their way from a head to the step: whose they are, and what they tell."""

from headrace.engines.ray_logs import FINISHED, Tail, bare, event, event_line, tag


def test_a_job_marks_its_lines_and_events_stand_between_them():
    assert tag("ray-train-1") == "ray-train-1| "
    assert event(event_line(FINISHED, 7)) == {"type": "finished", "seq": 7}
    assert event('::ray:: {"type": "report", "seq": 1, "index": 0, "metrics": {"loss": 0.5}}') == {
        "type": "report", "seq": 1, "index": 0, "metrics": {"loss": 0.5},
    }  # fmt: skip


def test_lines_that_are_no_events():
    for line in ("loss 0.5", "::ray:: {cut sho", "::ray:: 3", "(RayTrainWorker pid=1) ::ray:: {}"):
        assert event(line) is None


def test_a_workers_line_without_its_name():
    assert bare("(RayTrainWorker pid=115, ip=10.244.0.76) epoch 3") == "epoch 3"
    assert bare("(RayTrainWorker pid=115) (pid=3) epoch") == "(pid=3) epoch"
    assert bare("(pid=7) before it had a name") == "before it had a name"
    assert bare("epoch 3") == "epoch 3"


def test_the_last_of_a_long_log_is_kept():
    tail = Tail(most=20)
    for number in range(10):
        tail.add(f"line {number}")
    assert tail.text() == "… 8 lines before these were dropped\nline 8\nline 9\n"


def test_one_line_longer_than_all_is_kept():
    tail = Tail(most=5)
    tail.add("a long line")
    assert tail.text() == "a long line\n"
