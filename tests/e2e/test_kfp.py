"""Pipelines on a real Kubeflow Pipelines server: control flow, caches, failures, cancelling.

HEADRACE_TEST_KFP names the context and the namespace, as CONTEXT/NAMESPACE, of a site where KFP
runs its pods and whose `kfp` says where its API is. There is no KFP to install for a test, so
without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from headrace.cluster.contexts import connect
from headrace.cluster.forwarding import reach
from headrace.compiling.pipeline import Compiled, compile_pipeline, find_pipeline
from headrace.compiling.placing import for_site
from headrace.core.states import State
from headrace.data.store import Store, store_of
from headrace.executing import code, surroundings
from headrace.running.kubeflow import listing
from headrace.running.kubeflow import runs as kubeflow
from headrace.sites.cluster import Site, discover

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

# Said before the tests' own environment is cleaned.
WHERE = os.environ.get("HEADRACE_TEST_KFP", "")

WORDS = """
def shout(text):
    return text.upper()
"""
STEPS = """
import os
import time

from kfp.dsl import Dataset, Input, Markdown, Metrics, Output, PipelineTaskFinalStatus

import headrace as hr
from words import shout


@hr.step
def rows(n: int, table: Output[Dataset]) -> int:
    table.metadata.update(rows=n, names=["a"], shape={"wide": 1})
    with open(table.path, "w") as out:
        out.write(shout("row\\n") * n)
    return n


@hr.step(retries=2)
def shaky(text: str) -> str:
    print("here is", text)
    if int(os.environ["KFP_RETRY_INDEX"]) < 1:
        raise ValueError(f"no {text} at first")
    return text


@hr.step
def score(
    table: Input[Dataset], factor: int, metrics: Output[Metrics], page: Output[Markdown]
) -> float:
    assert (table.metadata["names"], table.metadata["shape"]) == (["a"], {"wide": 1})
    lines = open(table.path).read().splitlines()
    assert lines == ["ROW"] * table.metadata["rows"], lines
    metrics.log_metric("score", len(lines) * factor)
    with open(page.path, "w") as out:
        out.write(f"# {len(lines)} lines")
    return len(lines) * factor


@hr.step
def best(scores: list) -> float:
    return max(scores)


@hr.step
def say(text: str) -> str:
    return text


@hr.step(cache=False)
def tidy(status: PipelineTaskFinalStatus):
    print("it", status.state)


@hr.step
def breaks(text: str) -> str:
    print("before it breaks")
    raise KeyError(shout(text))


@hr.step(cache=False)
def waits(seconds: int) -> int:
    time.sleep(seconds)
    return seconds
"""
PIPELINE = """
from kfp import dsl

import steps


@dsl.pipeline(name="everything")
def everything(word: str, n: int = 3, factors: list[int] = [1, 2]) -> float:
    with dsl.ExitHandler(steps.tidy()):
        steps.shaky(text=word)
    table = steps.rows(n=n)
    with dsl.ParallelFor(factors, name="by factor") as factor:
        scored = steps.score(table=table.outputs["table"], factor=factor)
    top = steps.best(scores=dsl.Collected(scored.outputs["Output"]))
    with dsl.If(top.output > 5.0):
        steps.say(text=word).set_display_name("say much")
    with dsl.Else():
        steps.say(text="little").set_display_name("say little")
    return top.output
"""
BROKEN = """
from kfp import dsl

import steps


@dsl.pipeline(name="broken")
def broken():
    with dsl.ExitHandler(steps.tidy()):
        steps.say(text=steps.breaks(text="it").output)
"""
SLOW = """
from kfp import dsl

import steps


@dsl.pipeline(name="slow")
def slow(seconds: int = 600):
    steps.say(text=f"{steps.waits(seconds=seconds).output}")
"""


@dataclass(kw_only=True)
class Followed:
    """A run, as its events tell it."""

    run_id: str
    """KFP's id of it."""
    folder: Path
    """Where its logs are."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """All of its events."""

    @property
    def end(self) -> dict[str, Any]:
        return self.events[-1]

    def finished(self) -> dict[str, dict[str, Any]]:
        """The events of the steps' ends, by the steps' names."""
        return {one["name"]: one for one in self.events if one["type"] == "step_finished"}

    def states(self) -> dict[str, State]:
        return {name: one["state"] for name, one in self.finished().items()}

    def texts(self, kind: str) -> list[tuple[str, str]]:
        return [(one["step"], one["text"]) for one in self.events if one["type"] == kind]


@dataclass(frozen=True, kw_only=True)
class Place:
    """The site and its KFP."""

    site: Site
    store: Store
    server: kubeflow.Server

    def begin(self, compiled: Compiled, **arguments: Any) -> str:
        self.store.write(code.uri_of(self.store, compiled.code.digest), compiled.code.zipped())
        return kubeflow.submit(
            for_site(compiled, self.site.images), arguments, self.server,
            run_name=f"{compiled.name}-{time.time_ns()}", experiment="headrace-e2e",
            pipeline_root=self.store.uri("artifacts"),
        )  # fmt: skip

    def follow(self, run_id: str, folder: Path, **options: Any) -> Followed:
        run = Followed(run_id=run_id, folder=folder)
        kubeflow.follow(run_id, self.server, run.events.append, folder=folder, **options)
        return run

    def run(self, compiled: Compiled, folder: Path, **arguments: Any) -> Followed:
        return self.follow(self.begin(compiled, **arguments), folder)


@pytest.fixture(scope="module")
def place():
    if not WHERE:
        pytest.skip("no KFP: HEADRACE_TEST_KFP=CONTEXT/NAMESPACE names a site that has one")
    context, _, namespace = WHERE.partition("/")
    cluster = connect(context, namespace)
    site = discover(cluster)
    if not site.kfp.url:
        pytest.skip(f"the site {WHERE} does not say where its KFP is")
    credentials = surroundings.secret_values(cluster, site.store.secret)
    with reach(cluster, site.kfp.url, site.kfp.client_url) as url:
        yield Place(
            site=site,
            store=store_of(site.store, outside=True, credentials=credentials),
            server=kubeflow.connect(url, namespace, patience=60),
        )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder for each pipeline, all with the same steps."""
    root = tmp_path_factory.mktemp("project")
    for name, text in {"everything": PIPELINE, "broken": BROKEN, "slow": SLOW}.items():
        folder = root / name
        folder.mkdir()
        files = {"pipeline.py": text, "steps.py": STEPS, "words.py": WORDS}
        for file, content in files.items():
            (folder / file).write_text(content)
    return root


def compiled(folder: Path) -> Compiled:
    """Compile what stands there now: this process may have imported something else before."""
    for name in ("pipeline", "steps", "words"):
        sys.modules.pop(name, None)
    return compile_pipeline(find_pipeline(str(folder)))


@pytest.fixture(scope="module")
def first(place, project, tmp_path_factory):
    # Nothing that an earlier session has cached.
    n = 3 + int(time.time()) % 10_000
    arguments = {"word": f"luck-{time.time()}", "n": n, "factors": [1, 2]}
    folder = tmp_path_factory.mktemp("first")
    return arguments, place.run(compiled(project / "everything"), folder, **arguments)


def test_every_step_is_told_of(first):
    arguments, run = first
    assert run.states() == {
        "shaky": State.SUCCEEDED,
        "tidy": State.SUCCEEDED,
        "rows": State.SUCCEEDED,
        "score[0]": State.SUCCEEDED,
        "score[1]": State.SUCCEEDED,
        "best": State.SUCCEEDED,
        "say much": State.SUCCEEDED,
        "say little": State.SKIPPED,
    }
    assert (run.end["state"], run.end["outputs"]) == (
        State.SUCCEEDED,
        {"Output": 2.0 * arguments["n"]},
    )


def test_artifacts_come_with_type_place_and_metadata(first, place):
    arguments, run = first
    n = arguments["n"]
    made = run.finished()["rows"]["outputs"]
    (table,) = made["artifacts"]["table"]
    assert made["parameters"] == {"Output": n}
    assert (table["type"], table["metadata"]) == (
        "system.Dataset", {"rows": n, "names": ["a"], "shape": {"wide": 1}},
    )  # fmt: skip
    assert place.store.read(table["uri"]) == b"ROW\n" * n
    taken = run.finished()["score[0]"]["inputs"]["table"][0]
    assert {**taken, "digest": None} == {**table, "digest": None}


def test_it_is_seen_from_anywhere_by_what_people_call_it(first, place, tmp_path):
    _, run = first
    context, _, namespace = WHERE.partition("/")
    here = ["--on", context, "-n", namespace, "--home", str(tmp_path), "--json"]
    (called,) = [one.called for one in listing.listing(place.server) if one.run == run.run_id]
    looks = [json.loads(headrace("status", name, *here)) for name in (called, run.run_id)]
    assert looks[0] == looks[1]
    assert (looks[0]["run"], looks[0]["name"], looks[0]["state"]) == (
        run.run_id, called, "succeeded",
    )  # fmt: skip
    assert {one["name"]: one["state"] for one in looks[0]["steps"]} == run.states()


def headrace(*words):
    """What `headrace` writes to standard output."""
    program = Path(sys.executable).with_name("headrace")
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_metrics_are_the_steps_figures(first):
    arguments, run = first
    n = arguments["n"]
    scored = run.finished()["score[1]"]
    assert (scored["metrics"], scored["parameters"]) == ({"score": 2.0 * n}, {"factor": 2})
    assert scored["step"] == "for-loop-2/1/score"


def test_a_page_lies_where_its_event_says(first, place):
    arguments, run = first
    (page,) = run.finished()["score[0]"]["outputs"]["artifacts"]["page"]
    assert place.store.read(page["uri"]) == f"# {arguments['n']} lines".encode()


def test_a_retry_is_told_with_its_reason(first):
    arguments, run = first
    starts = [
        (one["attempt"], one["log"])
        for one in run.events
        if one["type"] == "step_started" and one["name"] == "shaky"
    ]
    assert starts == [
        (1, "logs/exit-handler-1/shaky.log"),
        (2, "logs/exit-handler-1/shaky.attempt-2.log"),
    ]
    notes = dict(run.texts("step_note"))
    word = arguments["word"]
    assert notes["exit-handler-1/shaky"] == f"attempt 1 of 3 failed: ValueError: no {word} at first"
    assert f"here is {word}" in (run.folder / starts[0][1]).read_text().splitlines()


def test_the_same_again_is_reused_with_its_outputs(first, place, project, tmp_path):
    arguments, run = first
    again = place.run(compiled(project / "everything"), tmp_path, **arguments)
    reused = {name for name, state in again.states().items() if state is State.REUSED}
    assert reused == {"shaky", "rows", "score[0]", "score[1]", "best", "say much"}
    assert again.states()["tidy"] is State.SUCCEEDED
    for name in reused:
        before, now = run.finished()[name], again.finished()[name]
        assert now["reused_from"] == run.run_id
        assert (now["outputs"], now["metrics"]) == (before["outputs"], before["metrics"])
        assert now["parameters"] == before["parameters"]
    assert again.end["outputs"] == run.end["outputs"]


def test_an_edit_runs_what_it_concerns(first, place, project, tmp_path):
    """`rows` uses the helper that is edited, `score` reads its table; `shaky` does neither."""
    arguments, _ = first
    (project / "everything/words.py").write_text(WORDS.replace("text.upper()", "str(text).upper()"))
    try:
        edited = place.run(compiled(project / "everything"), tmp_path, **arguments)
    finally:
        (project / "everything/words.py").write_text(WORDS)
    assert edited.states()["rows"] is State.SUCCEEDED
    assert edited.states()["score[0]"] is State.SUCCEEDED
    assert edited.states()["shaky"] is State.REUSED


def test_a_failure_is_told_with_its_reason_and_its_pod(place, project, tmp_path):
    run = place.run(compiled(project / "broken"), tmp_path)
    assert run.states() == {
        "breaks": State.FAILED, "say": State.SKIPPED, "tidy": State.SUCCEEDED,
    }  # fmt: skip
    error = run.finished()["breaks"]["error"]
    assert error["what"] == "KeyError: 'IT'"
    assert error["where"][0].startswith(f"namespace {place.server.namespace}, pod broken-")
    assert 'steps.py", line' in error["traceback"]
    assert "raise KeyError(shout(text))" in error["traceback"]
    assert "before it breaks" in (tmp_path / "logs/exit-handler-1/breaks.log").read_text()
    assert (run.end["state"], run.end["error"]) == (State.FAILED, error)


def test_a_run_is_cancelled_and_followed_again_by_another_client(place, project, tmp_path):
    """The first client dies while a step works; a second one goes on from what was told."""
    run_id = place.begin(compiled(project / "slow"), seconds=600)
    known = told_until_it_works(place, run_id, tmp_path)
    interrupted = threading.Event()
    interrupted.set()
    rest = place.follow(run_id, tmp_path, known=known, interrupted=interrupted)
    assert [(one["type"], one.get("name"), one.get("state")) for one in rest.events] == [
        ("step_finished", "waits", State.CANCELLED),
        ("run_finished", None, State.CANCELLED),
    ]


def told_until_it_works(place: Place, run_id: str, folder: Path) -> list[dict[str, Any]]:
    """The events that a client tells before it is killed, once its first step has started."""
    program = (
        "import json, sys\n"
        "from headrace.running.kubeflow import runs as kubeflow\n"
        "server = kubeflow.connect(sys.argv[1], sys.argv[2])\n"
        "tell = lambda event: print(json.dumps(event), flush=True)\n"
        "kubeflow.follow(sys.argv[3], server, tell)\n"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", program, place.server.url, place.server.namespace, run_id],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    known = [json.loads(client.stdout.readline())]
    client.kill()
    client.wait()
    assert [(one["type"], one["name"]) for one in known] == [("step_started", "waits")]
    return known
