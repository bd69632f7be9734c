"""How a case of the conformance suite runs a pipeline: the only place that knows the runner.

Each case is run on the laptop and, as a test of its own that is marked `cluster`, on a site of
the current context, each step in a pod. What is marked `laptop`, or lets steps meet in a folder,
is about one machine and stays there.

`run(pipeline, **arguments)` compiles the pipeline, runs it in a home of its own and gives the
outcome back. `run.with_options(jobs=4)(pipeline)` passes options to the runner, and a second
call in the same case shares the first one's home, as a second `headrace run` would. Steps
are always run, unless the case asks for `cached_run`.
`project` is the same for code that lies in files, which a case edits between two runs.
"""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from tests.site import SiteUnderTest

from headrace.compiling.pipeline import Compiled, compile_pipeline
from headrace.running import launch
from headrace.running.onsite import run_on
from headrace.running.run import RunResult, run_pipeline
from headrace.sites.home import Home


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to, in plain values that a case can compare."""

    result: RunResult
    """What the runner returned."""
    home: Home
    """Where it ran."""

    @property
    def state(self) -> str:
        return str(self.result.state)

    @property
    def outputs(self) -> dict[str, Any]:
        return dict(self.result.outputs)

    @property
    def states(self) -> dict[str, str]:
        """The state of every step that was not skipped, by its path."""
        return {one.step: str(one.state) for one in self.result.steps if one.state != "skipped"}

    @property
    def skipped(self) -> set[str]:
        """The paths of the skipped steps."""
        return {one.step for one in self.result.steps if one.state == "skipped"}

    @property
    def problem(self) -> str:
        """The whole text of the run's error: what, where, hint, traceback."""
        return "\n".join(str(part) for part in (self.result.error or {}).values())

    def of(self, step: str) -> dict[str, Any]:
        """The output parameters of a step."""
        return dict(self._step(step).outputs["parameters"])

    def artifacts_of(self, step: str) -> dict[str, list[dict[str, Any]]]:
        """The output artifacts of a step."""
        return dict(self._step(step).outputs["artifacts"])

    def attempts(self, step: str) -> int:
        return int(self._step(step).attempt)

    def span(self, step: str) -> tuple[float, float]:
        """When a step's first attempt started and when the step was over, in Unix seconds."""
        mine = [event for event in self.result.events if event.get("step") == step]
        start = min(event["time"] for event in mine if event["type"] == "step_started")
        return start, max(event["time"] for event in mine if event["type"] == "step_finished")

    def in_order(self, *steps: str) -> bool:
        """Whether each step started only when the one before it was over."""
        spans = [self.span(step) for step in steps]
        return all(before[1] <= after[0] for before, after in pairwise(spans))

    def text(self) -> str:
        """Everything that the run left in its folder: journal, IR, logs."""
        files = sorted(one for one in self.home.run(self.result.run_id).rglob("*"))
        return "\n".join(one.read_text(errors="replace") for one in files if one.is_file())

    def _step(self, step: str) -> Any:
        found = [one for one in self.result.steps if one.step == step]
        assert len(found) == 1, f"{step} among {[one.step for one in self.result.steps]}"
        return found[0]


@dataclass(kw_only=True)
class Run:
    """Runs pipelines in one home."""

    home: Home
    options: dict[str, Any] = field(default_factory=dict)
    runner: Callable[..., RunResult] = run_pipeline

    def __call__(self, pipeline: Any, **arguments: Any) -> Outcome:
        result = self.runner(pipeline, arguments, self.home, **self.options)
        outcome = Outcome(result=result, home=self.home)
        print(f"{outcome.state}: {outcome.states} {outcome.problem}")  # shown when a case fails
        return outcome

    def with_options(self, **options: Any) -> "Run":
        return replace(self, options={**self.options, **options})


@dataclass(kw_only=True)
class Project:
    """A project in files: `pipeline.py` with a pipeline named `main`, and what it imports."""

    root: Path
    """The folder with `pipeline.py`."""
    run: Run
    """How it is run."""
    edits: int = 0
    """How many files were written so far."""
    first: Outcome | None = None
    """What its first run came to, where a fixture made one."""

    def write(self, name: str, text: str) -> None:
        """Write a file, dated later than anything before it, as an edit by hand would be."""
        self.edits += 1
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        stamp = path.stat().st_mtime + 10 * self.edits
        os.utime(path, (stamp, stamp))

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert text.count(old) == 1, f"{old!r} in {name}"
        self.write(name, text.replace(old, new))

    def __call__(self, **arguments: Any) -> Outcome:
        """Import the pipeline afresh and run it."""
        return self.with_options()(**arguments)

    def with_options(self, **options: Any) -> Any:
        def start(**arguments: Any) -> Outcome:
            return self.run.with_options(**options)(self.load(), **arguments)

        return start

    def load(self) -> Any:
        self.unload()
        importlib.invalidate_caches()
        return importlib.import_module("pipeline").main

    def unload(self) -> None:
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{self.root}{os.sep}"):
                del sys.modules[name]

    def start(self, **arguments: Any) -> "subprocess.Popen[bytes]":
        """Start a run in a process of its own, for a case that kills it."""
        script = (
            "import sys, json\n"
            "from pathlib import Path\n"
            "from headrace.running.run import run_pipeline\n"
            "from headrace.sites.home import Home\n"
            "import pipeline\n"
            "run_pipeline(pipeline.main, json.loads(sys.argv[2]),\n"
            "             Home(root=Path(sys.argv[1])), record=False)\n"
        )
        (self.root.parent / "start.py").write_text(script)
        return subprocess.Popen(
            [sys.executable, self.root.parent / "start.py", self.run.home.root,
             json.dumps(arguments)],
            env={**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=self.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


WARM = """
import importlib, json, os, signal, socket, sys
from headrace.running import forkserver
control = socket.socket(fileno=int(sys.argv[1]))
for module in getattr(forkserver, "_ALWAYS", ()):
    importlib.import_module(module)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    data, (channel, log), _, _ = socket.recv_fds(control, 2**20, 2)
    pid = os.fork()
    if pid == 0:
        control.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        request = json.loads(data)
        os.environ.clear()
        os.environ.update(request["env"])
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["forkserver", str(channel), *request["libraries"]]
        forkserver.main()
        os._exit(0)
    os.close(channel)
    os.close(log)
    control.send(str(pid).encode())
"""


class WarmStarts:
    """Stands in for `subprocess` where the runner starts its fork server.

    A fork server spends half a second on imports before it serves; here each is forked from
    one process that has done them, which is as good as fresh and ten times as quick. Only
    the start differs: the server, its steps and their end are the runner's own. The runs
    that are killed are started cold, in a process of their own.
    """

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.program = subprocess.Popen(
            [sys.executable, "-c", WARM, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, words: list[str], **options: Any) -> Any:
        if words[1:3] != ["-m", "headrace.running.forkserver"]:
            return subprocess.Popen(words, **options)
        request = {"env": options["env"], "libraries": words[4:]}
        files = [*options["pass_fds"], options["stdout"].fileno()]
        socket.send_fds(self.control, [json.dumps(request).encode()], files)
        return Started(pid=int(self.control.recv(32)))


@dataclass(frozen=True, kw_only=True)
class Started:
    """A fork server that `WarmStarts` started, as far as the runner asks of a process."""

    pid: int

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def wait(self, timeout: float | None = None) -> int:
        deadline = time.monotonic() + (timeout or 60.0)
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("forkserver", timeout or 60.0)
            time.sleep(0.002)
        return 0

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


@pytest.fixture(scope="session", autouse=True)
def warm_starts() -> Iterator[None]:
    """Start fork servers warm for as long as this suite runs."""
    starts = WarmStarts()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "subprocess", starts)
        yield
    starts.program.kill()
    starts.program.wait()
    starts.control.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every case that runs a pipeline is a case of the laptop and one of the cluster."""
    if "place" not in metafunc.fixturenames:
        return
    places: list[Any] = ["laptop"]
    of_one_machine = {"meeting_place", "module_project"} & set(metafunc.fixturenames)
    if not of_one_machine and metafunc.definition.get_closest_marker("laptop") is None:
        places.append(pytest.param("cluster", marks=pytest.mark.cluster))
    metafunc.parametrize("place", places)


@pytest.fixture
def place() -> str:
    """Where the case runs."""
    raise AssertionError("every case is told")


@pytest.fixture
def there(place: str, request: pytest.FixtureRequest) -> SiteUnderTest | None:
    """The site that the case runs on, if it runs on one."""
    found: SiteUnderTest | None = None
    if place == "cluster":
        found = request.getfixturevalue("site")
    return found


@pytest.fixture
def runner(there: SiteUnderTest | None) -> Callable[..., RunResult]:
    """What runs a pipeline at the case's place."""
    if there is None:
        return run_pipeline
    # As a fresh home has no earlier results, so has the store.
    there.store.delete(there.store.uri("cache"))

    def on_cluster(pipeline: Any, arguments: Any, home: Home, **options: Any) -> RunResult:
        compiled = pipeline if isinstance(pipeline, Compiled) else compile_pipeline(pipeline)
        # Any image with a shell will do, and this one is sure to be there.
        ir = json.dumps(compiled.ir).replace('"alpine:3"', f'"{there.site.images["python"]}"')
        return run_on(
            replace(compiled, ir=json.loads(ir)),
            arguments,
            home,
            context=there.context,
            namespace=there.namespace,
            direct=True,
            **options,
        )

    return on_cluster


@pytest.fixture
def local_path(there: SiteUnderTest | None, tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Gives the file or folder that an artifact names; one in a store is fetched."""

    def path(artifact: dict[str, Any]) -> Path:
        uri = artifact["uri"]
        if there is not None:
            target = tmp_path / "fetched" / Path(uri).name
            assert there.store.download(uri, target)
            return target
        return Path(urlparse(uri).path if uri.startswith("file://") else uri)

    return path


@pytest.fixture
def run(tmp_path: Path, runner: Callable[..., RunResult]) -> Run:
    """Runs pipelines in a home of the case's own, every step anew."""
    home = Home(root=tmp_path / ".headrace").ensure()
    return Run(home=home, options={"use_cache": False, "record": False}, runner=runner)


@pytest.fixture
def cached_run(run: Run) -> Run:
    """Runs pipelines in that same home, reusing what can be reused."""
    return run.with_options(use_cache=True)


@contextmanager
def project_in(folder: Path, runner: Callable[..., RunResult]) -> Iterator[Project]:
    """An empty project in `folder/project` whose runs go to `folder/.headrace`."""
    root = folder / "project"
    root.mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nname = "case"\nversion = "0"\n')
    home = Home(root=folder / ".headrace").ensure()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root))
        patch.setattr(sys, "dont_write_bytecode", True)
        run = Run(home=home, options={"record": False}, runner=runner)
        made = Project(root=root, run=run)
        yield made
        made.unload()


@pytest.fixture
def project(tmp_path: Path, runner: Callable[..., RunResult]) -> Iterator[Project]:
    """A project of the case's own."""
    with project_in(tmp_path / "case", runner) as made:
        yield made


@pytest.fixture(scope="module")
def module_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that the cases of a file share, on this machine."""
    with project_in(tmp_path_factory.mktemp("shared") / "case", run_pipeline) as made:
        yield made


@pytest.fixture
def keep_secret(
    run: Run, there: SiteUnderTest | None
) -> Iterator[Callable[[str, dict[str, str]], None]]:
    """Puts a secret where steps find secrets: in a file of the home, or in a Secret."""
    made: list[str] = []

    def keep(name: str, values: dict[str, str]) -> None:
        if there is None:
            for key, value in values.items():
                file = run.home.root / "secrets" / name / key
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(value)
            return
        there.cluster.create({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values,
        })  # fmt: skip
        made.append(name)

    yield keep
    for name in made:
        assert there is not None
        there.cluster.delete("secrets", name)


@pytest.fixture
def meeting_place(tmp_path: Path) -> str:
    """An empty folder where steps can see one another."""
    place = tmp_path / "meeting"
    place.mkdir()
    return str(place)
