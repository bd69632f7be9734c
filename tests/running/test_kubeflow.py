"""Runs that Kubeflow Pipelines carried out, as a real server of version 2.17 told of them.

`golden/kfp_NAME.json` holds what the server said: a run, its workflow and its pods' logs. In
many-things there is all of control flow, caching and a failure; odd-things has pods that are
killed or never start, and was cancelled. A server here says it again, all at once or as it was
at some moment of the run. The events that come of it are `golden/kfp_NAME.txt`; when a change
of them is meant: `UPDATE_GOLDEN=1 pytest tests/running/test_kubeflow.py`.
"""

import base64
import gzip
import json
import os
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from headrace.core.errors import EnvironmentProblem, UsageError
from headrace.core.states import State
from headrace.running.artifacts import Artifact, Outputs
from headrace.running.kubeflow import listing, podlog, workflow
from headrace.running.kubeflow import runs as kubeflow
from headrace.running.kubeflow.graph_outputs import outputs_of_run
from headrace.sites.journal import Journal, read_record

HERE = Path(__file__).parent / "golden"
NAMES = ("many-things", "odd-things")
RECORDED = {name: json.loads((HERE / f"kfp_{name}.json").read_text()) for name in NAMES}
RUN_ID = RECORDED["many-things"]["run"]["run_id"]
MOMENTS = {
    name: [f"2026-11-24T11:{one}Z" for one in times]
    for name, times in {
        "many-things": ("21:48", "22:15", "22:22", "22:50", "23:30", "24:40"),
        "odd-things": ("28:30", "29:05", "30:11", "30:50", "31:45", "31:47"),
    }.items()
}
CANCELLED_AT = "2026-11-24T11:31:43Z"


class Replay(ThreadingHTTPServer):
    """Says what the real server said."""

    daemon_threads = True

    def __init__(self, name):
        super().__init__(("127.0.0.1", 0), Handler)
        self.name = name
        self.recorded = RECORDED[name]
        self.run_id = self.recorded["run"]["run_id"]
        self.moments = []  # of the next looks; after them comes the end
        self.failures = []  # statuses with which the next requests are answered
        self.posted = []
        self.listed = []
        self.uploaded = {}
        self.experiments = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, method, path, query, body):
        if method == "POST":
            self.posted.append((path, json.loads(body or b"null")))
            made = {"/apis/v2beta1/runs": {"run_id": "new"}}
            return json.dumps(made.get(path, {"experiment_id": "e-1"})).encode()
        if path == "/apis/v2beta1/experiments":
            return json.dumps({"experiments": self.experiments}).encode()
        if path == "/apis/v2beta1/runs":
            assert "namespace=team" in query
            wanted = re.search(r'"key": "display_name".*"string_value": "([^"]*)"', query)
            runs = [one for one in self.listed if not wanted or one["display_name"] == wanted[1]]
            return json.dumps({"runs": runs} if runs else {}).encode()
        if path == f"/apis/v2beta1/runs/{self.run_id}":
            return json.dumps(self.run()).encode()
        if path == "/apis/v2beta1/pipelines/p-1/versions/v-2":
            return json.dumps(self.uploaded).encode()
        if path == f"/apis/v1beta1/runs/{self.run_id}":
            text = json.dumps(self.as_it_was(self.moments.pop(0) if self.moments else None))
            return json.dumps({"pipeline_runtime": {"workflow_manifest": text}}).encode()
        if path == "/apis/v1alpha1/tasks":
            wanted = re.search(r'"string_value": "(\d+)"', query)[1]
            return json.dumps(self.recorded["tasks"][wanted]).encode()
        if found := re.fullmatch(f"/apis/v1alpha1/runs/{self.run_id}/nodes/(.+)/log", path):
            log = self.recorded["logs"].get(found[1])
            return (log or '{"error_message":"no such pod"}').encode()
        return None

    def run(self):
        if not self.moments:
            return self.recorded["run"]
        # The number of looks to come stands for what changes between them.
        task = {"task_id": "x", "state": str(len(self.moments))}
        history = [
            one
            for one in self.recorded["run"]["state_history"]
            if one["state"] == "CANCELING" and self.moments[0] >= CANCELLED_AT
        ]
        now = {
            "state": "RUNNING",
            "state_history": history,
            "run_details": {"task_details": [task]},
        }
        return {**self.recorded["run"], **now}

    def as_it_was(self, moment):
        """The workflow at a moment; at its end for None."""
        whole = self.recorded["workflow"]
        if moment is None:
            return whole
        nodes = {}
        for key, node in whole["status"]["nodes"].items():
            if node["startedAt"] > moment:
                continue
            if node["finishedAt"] > moment:
                left_out = ("finishedAt", "message", "outputs")
                node = {name: one for name, one in node.items() if name not in left_out}
                node["phase"] = "Running"
            nodes[key] = node
        return {**whole, "status": {"phase": "Running", "nodes": nodes}}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        from urllib.parse import unquote_plus

        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        status, answer = 200, None
        if self.server.failures:
            status = self.server.failures.pop(0)
            answer = b'{"message": "try later"}'
        answer = answer or self.server.answer(self.command, path, unquote_plus(query), body)
        if answer is None:
            status, answer = 404, b'{"code": 5, "message": "Run nowhere not found"}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET


@pytest.fixture(params=["many-things"])
def replay(request, monkeypatch):
    monkeypatch.setattr(kubeflow, "_LOOK_SECONDS", 0.01)
    server = Replay(request.param)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield server
    server.shutdown()
    server.server_close()


both = pytest.mark.parametrize("replay", NAMES, indirect=True)


def followed(replay, **options):
    events = []
    server = kubeflow.connect(replay.url, "team", patience=5)
    kubeflow.follow(replay.run_id, server, events.append, **options)
    return events


def in_short(event):
    """An event without what differs from time to time: when it was told, and by whom."""
    moment = {} if event["type"] == "step_note" or event.get("reason") else {"time": event["time"]}
    return {**{key: one for key, one in event.items() if key != "time"}, **moment}


def by_step(events):
    """The events of each step, in order: steps side by side may be told in either order."""
    found = {}
    for one in events:
        found.setdefault(one.get("step", ""), []).append(in_short(one))
    return found


@both
def test_the_whole_run_is_told(replay, tmp_path):
    events = followed(replay, folder=tmp_path)
    text = "".join(json.dumps(in_short(one), sort_keys=True) + "\n" for one in events)
    text = text.replace(str(tmp_path), "FOLDER")
    path = HERE / f"kfp_{replay.name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@both
def test_it_makes_no_difference_how_often_one_looks(replay, tmp_path):
    at_once = by_step(followed(replay, folder=tmp_path))
    replay.moments = list(MOMENTS[replay.name])
    assert by_step(followed(replay, folder=tmp_path)) == at_once


@pytest.mark.parametrize("count", range(0, 38, 4))
def test_another_client_goes_on_from_what_was_told(replay, count):
    events = followed(replay)
    rest = followed(replay, known=events[:count])
    assert [in_short(one) for one in rest] == [in_short(one) for one in events[count:]]


@both
def test_one_look_tells_what_a_client_would_have_written_down(replay):
    server = kubeflow.connect(replay.url, "team")
    first, *rest = kubeflow.so_far(replay.run_id, server)
    assert first == kubeflow.beginning(replay.run_id, server)
    assert [in_short(one) for one in rest] == [in_short(one) for one in followed(replay)]


def test_a_run_of_an_uploaded_pipeline_tells_as_much(replay):
    told = followed(replay)
    run = dict(replay.recorded["run"])
    replay.uploaded = {"pipeline_spec": run.pop("pipeline_spec")}
    version = {"pipeline_id": "p-1", "pipeline_version_id": "v-2"}
    replay.recorded = {
        **replay.recorded, "run": {**run, "pipeline_version_reference": version},
    }  # fmt: skip
    assert [in_short(one) for one in followed(replay)] == [in_short(one) for one in told]
    replay.uploaded = {}
    with pytest.raises(EnvironmentProblem, match="does not say which pipeline the run is of"):
        kubeflow.so_far(RUN_ID, kubeflow.connect(replay.url, "team"))


def test_a_look_at_a_run_in_progress_has_no_end(replay):
    replay.moments = ["2026-11-24T11:22:30Z"] * 2
    told = kubeflow.so_far(replay.run_id, kubeflow.connect(replay.url, "team"))
    assert told[0]["type"] == "run_started"
    assert {one["type"] for one in told[1:]} <= {"step_started", "step_finished", "step_note"}
    assert "run_finished" not in {one["type"] for one in told}


def test_a_servers_runs_are_listed_in_the_order_in_which_they_were_made(replay):
    replay.listed = [
        {"run_id": "b", "display_name": "second", "created_at": "2026-11-24T08:00:01Z"},
        {"run_id": "a", "display_name": "first", "created_at": "2026-11-24T08:00:00Z"},
    ]
    server = kubeflow.connect(replay.url, "team")
    assert listing.listing(server) == [
        listing.Listed(run="a", called="first", created=1795507200.0),
        listing.Listed(run="b", called="second", created=1795507201.0),
    ]
    assert [listing.is_there(one, server) for one in ("first", "fir")] == [True, False]
    replay.listed = []
    assert listing.listing(server) == []


def test_its_journal_reads_like_any_other(replay, tmp_path):
    journal = Journal(tmp_path)
    server = kubeflow.connect(replay.url, "team")
    journal.write({**kubeflow.beginning(RUN_ID, server), "pid": 1})
    kubeflow.follow(RUN_ID, server, journal.write, folder=tmp_path)
    record = read_record(tmp_path)
    assert (record.run_id, record.called, record.pipeline, record.state, record.seconds) == (
        RUN_ID, replay.recorded["run"]["display_name"], "many-things", State.FAILED, 200.0,
    )  # fmt: skip


def test_the_users_lines_alone_are_kept(replay, tmp_path):
    followed(replay, folder=tmp_path)
    log = (tmp_path / "logs/fin.log").read_text()
    assert log == (
        "PipelineTaskFinalStatus(state='FAILED', pipeline_job_resource_name='many-things-zgz58', "
        "pipeline_task_name='exit-handler-1', error_code=None, error_message=None)\n"
    )
    first = (tmp_path / "logs/exit-handler-1/flaky.log").read_text().splitlines()
    assert (first[0], first[-2]) == (
        "Traceback (most recent call last):", "ValueError: first time fails",
    )  # fmt: skip


def test_a_large_workflow_comes_packed():
    recorded = RECORDED["many-things"]
    ir, whole = recorded["run"]["pipeline_spec"], recorded["workflow"]
    packed = base64.b64encode(gzip.compress(json.dumps(whole["status"]["nodes"]).encode()))
    large = {**whole, "status": {"compressedNodes": packed.decode()}}
    assert workflow.read(ir, large) == workflow.read(ir, whole)


def test_a_server_that_comes_back_is_waited_for(replay):
    told = []
    replay.failures = [503, 500]
    server = kubeflow.connect(replay.url, "team", patience=5, on_wait=told.append)
    assert kubeflow.beginning(RUN_ID, server)["pipeline"] == "many-things"
    assert told == [
        "Kubeflow Pipelines does not answer now: try later",
        "Kubeflow Pipelines answers again",
    ]


def test_a_server_that_does_not_answer_is_given_up():
    with taken_port() as port:
        server = kubeflow.connect(f"http://127.0.0.1:{port}", "team", patience=0.3)
        with pytest.raises(EnvironmentProblem) as raised:
            kubeflow.beginning(RUN_ID, server)
    assert raised.value.what.startswith("Kubeflow Pipelines does not answer: ")
    assert raised.value.where == (f"http://127.0.0.1:{port}",)


@contextmanager
def taken_port():
    """A port that nobody else takes and on which nobody listens."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_a_run_that_is_not_there_is_named(replay):
    with pytest.raises(UsageError) as raised:
        kubeflow.beginning("nowhere", kubeflow.connect(replay.url, "team"))
    assert raised.value.what == "Kubeflow Pipelines does not know it: Run nowhere not found"


def test_a_gateway_that_asks_for_a_token_says_how(replay):
    replay.failures = [401]
    with pytest.raises(EnvironmentProblem) as raised:
        kubeflow.beginning(RUN_ID, kubeflow.connect(replay.url, "team"))
    assert raised.value.hint == "set HEADRACE_KFP_TOKEN to a token that it takes"


TEXT = """\
components:
  comp-inner:
    dag:
      tasks:
        deep: {cachingOptions: {enableCache: true}}
pipelineInfo: {name: small}
root:
  dag:
    tasks:
      one: {cachingOptions: {enableCache: true}}
---
platforms: {kubernetes: {deploymentSpec: {executors: {}}}}
"""
IR = {
    "components": {
        "comp-inner": {"dag": {"tasks": {"deep": {"cachingOptions": {"enableCache": True}}}}}
    },
    "pipelineInfo": {"name": "small"},
    "root": {"dag": {"tasks": {"one": {"cachingOptions": {"enableCache": True}}}}},
}
UNCACHED = {
    "components": {"comp-inner": {"dag": {"tasks": {"deep": {"cachingOptions": {}}}}}},
    "pipelineInfo": {"name": "small"},
    "root": {"dag": {"tasks": {"one": {"cachingOptions": {}}}}},
}
PLATFORMS = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {}}}}}


def submitted(replay, text, **options):
    server = kubeflow.connect(replay.url, "team")
    run_id = kubeflow.submit(
        text, {"n": 3}, server, run_name="small-1", experiment="small", **options
    )
    assert run_id == "new"
    return replay.posted


def test_a_run_is_submitted_with_its_experiment(replay):
    posted = submitted(replay, TEXT, pipeline_root="s3://bucket/site", service_account="runner")
    assert posted == [
        ("/apis/v2beta1/experiments", {"display_name": "small", "namespace": "team"}),
        (
            "/apis/v2beta1/runs",
            {
                "display_name": "small-1",
                "experiment_id": "e-1",
                "pipeline_spec": {"pipeline_spec": IR, "platform_spec": PLATFORMS},
                "runtime_config": {"parameters": {"n": 3}, "pipeline_root": "s3://bucket/site"},
                "service_account": "runner",
            },
        ),
    ]


def test_without_the_cache_no_task_uses_it_however_deep(replay):
    replay.experiments = [{"experiment_id": "e-0"}]
    posted = submitted(replay, TEXT.partition("---")[0], use_cache=False)
    assert posted == [
        (
            "/apis/v2beta1/runs",
            {
                "display_name": "small-1",
                "experiment_id": "e-0",
                "pipeline_spec": UNCACHED,
                "runtime_config": {"parameters": {"n": 3}},
            },
        )
    ]


def test_an_interrupted_run_is_cancelled_once_and_followed_to_its_end(replay):
    interrupted = threading.Event()
    interrupted.set()
    replay.moments = list(MOMENTS["many-things"])
    assert followed(replay, interrupted=interrupted)[-1]["type"] == "run_finished"
    assert replay.posted == [(f"/apis/v2beta1/runs/{RUN_ID}:terminate", None)]


def test_a_run_that_has_ended_is_not_cancelled(replay):
    replay.failures = [400]
    kubeflow.cancel(RUN_ID, kubeflow.connect(replay.url, "team"))


def test_a_run_that_may_not_be_cancelled_is_said(replay):
    replay.failures = [403]
    replay.moments = list(MOMENTS["many-things"])
    with pytest.raises(EnvironmentProblem):
        kubeflow.cancel(RUN_ID, kubeflow.connect(replay.url, "team"))


@pytest.mark.parametrize("replay", ["odd-things"], indirect=True)
def test_what_was_called_off_has_not_failed(replay):
    """Its pods end as failed before the run does."""
    replay.moments = ["2026-11-24T11:31:45Z"]
    ended = [one for one in followed(replay) if one["type"] == "step_finished"]
    states = {one["step"]: one["state"] for one in ended}
    assert states == {
        "big": State.FAILED, "killed": State.FAILED,
        "slow": State.CANCELLED, "many-2": State.CANCELLED, "nopull": State.CANCELLED,
    }  # fmt: skip


LAUNCHER = "I1124 11:22:51.307447      16 launcher_v2.go:867] Executing upload attempt: 1\n"
FATAL = "F1124 11:22:51.404453      16 main.go:59] "
RAISED = """\
Traceback (most recent call last):
  File "<frozen runpy>", line 88, in _run_code
  File "/opt/venv/lib/python3.12/site-packages/kfp/dsl/executor.py", line 453, in execute
    result = self.func(**func_kwargs)
  File "/work/code/0123/steps.py", line 7, in train
    raise OSError("no room")
OSError: no room
"""


@pytest.mark.parametrize(
    ("log", "message", "error"),
    [
        (
            f"epoch 1\n{RAISED}{LAUNCHER}{FATAL}failed to execute component: exit status 1\n",
            "main: Error (exit code 1)",
            {
                "kind": "OSError",
                "what": "OSError: no room",
                "traceback": '  File "/work/code/0123/steps.py", line 7, in train\n'
                '    raise OSError("no room")',
            },
        ),
        (
            "::headrace:: "
            + json.dumps(
                {
                    "type": "step_failed",
                    "error": {
                        "kind": "GateFailed", "what": "The gate said no.", "where": ["gate.json"],
                        "hint": "train longer", "exit_code": 3, "traceback": "",
                    },
                }
            )
            + f"\n{RAISED}{FATAL}failed to execute component: exit status 1\n",
            "main: Error (exit code 1)",
            {
                "kind": "GateFailed", "what": "The gate said no.", "where": ["gate.json", "pod p"],
                "hint": "train longer", "exit_code": 3,
            },
        ),
        (
            "epoch 1\n",
            "main: OOMKilled (exit code 137)",
            {
                "what": "The step was killed by SIGKILL.",
                "hint": "if nobody killed it, it needed more memory than its pod has: ask for more",
            },
        ),
        (
            f"{FATAL}failed to execute component: signal: killed\n",
            "main: Error (exit code 1)",
            {
                "what": "The step was killed by SIGKILL.",
                "hint": "if nobody killed it, it needed more memory than its pod has: ask for more",
            },
        ),
        (
            f"not found\n{FATAL}failed to execute component: exit status 127\n",
            "main: Error (exit code 1)",
            {
                "what": "The step ended with exit code 127.",
                "hint": "its log has what it printed last",
            },
        ),
        (
            f"{FATAL}KFP driver: driver.Container(pipelineName=p, taskName=\"t\") failed: "
            'input parameter "n" type mismatch\n',
            "main: Error (exit code 1)",
            {
                "what": "Kubeflow Pipelines could not run the step: "
                'input parameter "n" type mismatch',
            },
        ),
        ("", "pod deleted", {"what": "The pod failed: pod deleted"}),
    ],
)  # fmt: skip
def test_a_failure_is_described_by_whoever_knows_most(log, message, error):
    plain = {
        "kind": "StepFailed", "where": ["pod p"], "hint": "", "exit_code": 1, "traceback": "",
    }  # fmt: skip
    found = podlog.describe(podlog.read(log), message=message, where=["pod p"])
    assert found == {**plain, **error}


def test_a_runs_outputs_come_from_its_steps_however_deep():
    """A loop's are a list, a branch's the one that was taken; what was skipped adds nothing."""

    def task(component, **more):
        return {"componentRef": {"name": component}, **more}

    def from_task(task, key="Output"):
        return {"valueFromParameter": {"producerSubtask": task, "outputParameterKey": key}}

    one_of = [{"producerSubtask": f"if-{n}", "outputParameterKey": "Output"} for n in (1, 2)]
    ir = {
        "root": {
            "outputDefinitions": {"artifacts": {"table": {}}},
            "dag": {
                "tasks": {
                    "loop": task("comp-loop", parameterIterator={}),
                    "if-1": task("comp-branch"), "if-2": task("comp-branch"),
                    "make": task("comp-step"),
                },
                "outputs": {
                    "parameters": {
                        "all": from_task("loop"),
                        "taken": {"valueFromOneof": {"parameterSelectors": one_of}},
                    },
                    "artifacts": {
                        "table": {
                            "artifactSelectors": [
                                {"producerSubtask": "make", "outputArtifactKey": "out"}
                            ]
                        }
                    },
                },
            },
        },
        "components": {
            "comp-step": {"executorLabel": "exec-step"},
            "comp-branch": {
                "dag": {
                    "tasks": {"say": task("comp-step")},
                    "outputs": {"parameters": {"Output": from_task("say")}},
                }
            },
            "comp-loop": {
                "outputDefinitions": {"parameters": {"Output": {}}},
                "dag": {
                    "tasks": {"say": task("comp-step")},
                    "outputs": {"parameters": {"Output": from_task("say")}},
                },
            },
        },
    }  # fmt: skip
    table = Artifact(name="out", type="system.Dataset", uri="s3://bucket/table")
    made = {f"loop/{n}/say": Outputs(parameters={"Output": n}) for n in (10, 0, 2)}
    made |= {
        "if-2/say": Outputs(parameters={"Output": "second"}),
        "make": Outputs(artifacts={"out": [table]}),
    }
    assert outputs_of_run(ir, made) == {
        "all": [0, 2, 10], "taken": "second", "table": table.to_dict(),
    }  # fmt: skip


def made_anew(found):
    """A workflow as it is where Argo makes anew what was lost: each node with a template is one of
    a Retry node's attempts. Its names are as a real server's were.
    """

    def attempt(name):
        parts = name.split(".")
        return ".".join(one if re.search(r"\(\d+\)$", one) else f"{one}(0)" for one in parts)

    nodes = {}
    for node in found["status"]["nodes"].values():
        wrapped = node["type"] in ("Pod", "DAG")
        head, _, last = node["name"].rpartition(".")
        name = f"{attempt(head)}.{last}" if head else last
        if wrapped and not re.search(r"\(\d+\)$", last):
            wrapper = {**node, "type": "Retry", "name": name, "id": f"{node['id']}0"}
            nodes[wrapper["id"]] = wrapper
            name, shown = attempt(node["name"]), f"{node['displayName']}(0)"
            node = {**node, "name": name, "displayName": shown}
        else:
            node = {**node, "name": name}
        nodes[node["id"]] = node
    return {**found, "status": {**found["status"], "nodes": nodes}}


@pytest.mark.parametrize("name", NAMES)
def test_where_argo_makes_anew_what_was_lost_the_steps_are_the_same(name):
    recorded = RECORDED[name]
    spec = recorded["run"]["pipeline_spec"]
    ir = spec.get("pipeline_spec", spec)
    before = workflow.read(ir, recorded["workflow"])
    assert len(before) > 4
    assert workflow.read(ir, made_anew(recorded["workflow"])) == before


def test_a_driver_that_was_lost_and_made_again_is_not_what_failed():
    recorded = RECORDED["many-things"]
    spec = recorded["run"]["pipeline_spec"]
    ir = spec.get("pipeline_spec", spec)
    whole = made_anew(recorded["workflow"])
    before = workflow.read(ir, whole)
    nodes = dict(whole["status"]["nodes"])
    for key, node in whole["status"]["nodes"].items():
        if node["type"] == "Pod" and node["displayName"].endswith("-driver(0)"):
            lost = {"phase": "Error", "message": "pod deleted", "id": f"{key}9"}
            again = {
                "name": f"{node['name'][:-3]}(1)",
                "displayName": f"{node['displayName'][:-3]}(1)",
            }
            nodes[f"{key}9"] = {**node, **lost, "startedAt": "2026-11-24T00:00:00Z"}
            nodes[key] = {**node, **again}
    after = workflow.read(ir, {**whole, "status": {**whole["status"], "nodes": nodes}})
    states = [{one.path: one.state for one in some} for some in (before, after)]
    assert states[0] == states[1]
