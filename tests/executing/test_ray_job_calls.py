"""What a Ray step's call takes with it to another pod, and what it brings back."""

import base64
import json
import pickle
from pathlib import Path
from typing import List, NamedTuple  # noqa: UP035  (KFP reads List)

import pytest
from kfp.dsl import (
    Dataset,
    Input,
    InputPath,
    Metrics,
    Model,
    Output,
    OutputPath,
)

from headrace.core.errors import StepFailed
from headrace.engines.ray import RaySpec
from headrace.executing import failures, ray_job, ray_step, ray_worker
from headrace.executing.ray_worker import Uses


class Trained(NamedTuple):
    loss: float
    words: list


def train(
    table: Input[Dataset],
    several: Input[List[Model]],  # noqa: UP006
    raw: InputPath("Dataset"),
    model: Output[Model],
    scores: Output[Metrics],
    plot: OutputPath("HTML"),
    summary: OutputPath(str),
    epochs: int = 3,
    maybe: str | None = None,
) -> Trained:
    """A step with every kind of argument."""


def arguments(outputs):
    return {
        "table": Dataset(name="table", uri="s3://b/a/table", metadata={"rows": 3}),
        "several": [Model(name=f"m{n}", uri=f"s3://b/a/m{n}", metadata={}) for n in range(2)],
        "raw": "/s3/b/a/raw",
        "model": Model(name="model", uri="s3://b/r/model", metadata={}),
        "scores": Metrics(name="scores", uri="s3://b/r/scores", metadata={}),
        "plot": "/s3/b/r/plot",
        "summary": str(outputs / "summary"),
        "epochs": 3,
    }


def test_arguments_arrive_as_they_left(tmp_path):
    sent = arguments(tmp_path)
    got = ray_worker.unpacked(ray_worker.packed(sent))
    assert list(got) == list(sent)
    assert [vars(one) for one in (got["table"], *got["several"], got["model"])] == [
        vars(one) for one in (sent["table"], *sent["several"], sent["model"])
    ]
    assert [type(one) for one in got.values()] == [type(one) for one in sent.values()]
    assert got["table"].path == "/s3/b/a/table"
    plain = ("raw", "plot", "summary", "epochs")
    assert {name: got[name] for name in plain} == {name: sent[name] for name in plain}


def test_what_a_call_reads_and_writes(tmp_path):
    uses = Uses(train, arguments(tmp_path))
    assert uses.inputs == {
        "s3://b/a/table": Path("/s3/b/a/table"),
        "s3://b/a/m0": Path("/s3/b/a/m0"),
        "s3://b/a/m1": Path("/s3/b/a/m1"),
        "s3://b/a/raw": Path("/s3/b/a/raw"),
    }
    assert uses.outputs == {
        "s3://b/r/model": Path("/s3/b/r/model"),
        "s3://b/r/scores": Path("/s3/b/r/scores"),
        "s3://b/r/plot": Path("/s3/b/r/plot"),
    }
    assert uses.files == {"summary": tmp_path / "summary"}


def outcome(**gave):
    whole = {"value": None, "artifacts": {}, "files": {}} | gave
    return {"outcome": base64.b64encode(pickle.dumps(whole)).decode()}


def test_what_rank_0_gave_is_put_in_its_places(tmp_path):
    here = arguments(tmp_path / "made" / "later")
    there = ray_worker.unpacked(ray_worker.packed(here))
    there["model"].metadata["loss"] = 0.25
    there["scores"].log_metric("auc", 0.5)
    result = outcome(
        value=Trained(loss=0.25, words=["a"]),
        artifacts={name: vars(there[name]) for name in ("model", "scores", "table")},
        files={"summary": "fine"},
    )
    taken = ray_step.taken(result, here, RaySpec(workers=2))
    assert taken == Trained(loss=0.25, words=["a"])
    assert here["model"].metadata == {"loss": 0.25}
    assert here["scores"].metadata == {"auc": 0.5}
    assert Path(here["summary"]).read_text() == "fine"


def test_a_users_error_is_the_steps_error():
    told = failures.describe(ValueError("too few rows"))
    with pytest.raises(failures.Described) as raised:
        ray_step.taken({"raised": told}, {}, RaySpec())
    assert failures.describe(raised.value) == told


def test_too_many_losses():
    lost = {"rank": 1, "host": "worker-x", "failures": 3, "said": "its node in Ray is gone",
            "why": "worker 1 was lost: its pod was deleted"}  # fmt: skip
    with pytest.raises(StepFailed) as raised:
        ray_step.taken({"lost": lost}, {}, RaySpec(workers=2, max_failures=2))
    assert str(raised.value) == (
        "Worker 1 was lost: its pod was deleted; it was the group's third loss (max_failures=2).\n"
        "  at: pod worker-x\n"
        "  try: if memory ran out: more of it for each worker, more workers or smaller batches"
    )


def test_ray_itself_failed():
    with pytest.raises(StepFailed, match="Ray could not train: ImportError: no such module"):
        ray_step.taken({"broken": "ImportError: no such module"}, {}, RaySpec())


def test_the_environment_of_the_clusters_pods():
    given = [
        {"name": "BATCH", "value": "3"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "t", "key": "k"}}},
        {"name": "HEADRACE_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "HEADRACE_CHECKPOINTS", "value": "s3://b/checkpoints/k"},
        {"name": "HEADRACE_RUN", "value": "stale"},
        {"name": "KFP_POD_NAME", "value": "p"},
        {"name": "AWS_ACCESS_KEY_ID", "value": "plain"},
    ]
    key = {"secretKeyRef": {"name": "store", "key": "AWS_ACCESS_KEY_ID"}}
    secret = {"secretKeyRef": {"name": "store", "key": "AWS_SECRET_ACCESS_KEY"}}
    assert ray_step.variables(given, {"HEADRACE_RUN": "r1"}, "store") == (
        {"name": "BATCH", "value": "3"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "t", "key": "k"}}},
        {"name": "HEADRACE_RUN", "value": "r1"},
        {"name": "AWS_ACCESS_KEY_ID", "valueFrom": key},
        {"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": secret},
    )


def test_without_a_secret_pods_keep_what_they_are_given():
    given = [{"name": "AWS_ACCESS_KEY_ID", "value": "plain"}]
    assert ray_step.variables(given, {}, "") == (*given,)


@pytest.mark.parametrize(
    ("pod", "lives"),
    [
        (None, False),
        ({"metadata": {"uid": "other"}, "status": {"phase": "Running"}}, False),
        ({"metadata": {"uid": "u"}, "status": {"phase": "Running"}}, True),
        ({"metadata": {"uid": "u"}, "status": {"phase": "Failed"}}, False),
        (
            {"metadata": {"uid": "u", "deletionTimestamp": "t"}, "status": {"phase": "Running"}},
            False,
        ),
    ],
)
def test_whether_the_steps_pod_lives(pod, lives):
    assert ray_job.lives(pod, "u") is lives


def test_a_result_is_json_whatever_happened():
    from headrace.engines.ray_training import Outcome

    assert [
        json.loads(json.dumps(ray_job.result_of(one)))
        for one in (
            Outcome(value=b"abc"),
            Outcome(raised={"kind": "ValueError"}),
            Outcome(lost={"rank": 1}),
            Outcome(broken="it did"),
            Outcome(),
        )
    ] == [
        {"outcome": "YWJj"},
        {"raised": {"kind": "ValueError"}},
        {"lost": {"rank": 1}},
        {"broken": "it did"},
        {"broken": "rank 0 gave no result"},
    ]
