"""The life of a step's pod that the client has started: `python -m headrace.executing.pod URI`.

Two processes. The first, which is the pod's own, only watches: it hands on what the step
prints, keeps it, passes signals on, and writes down how the step ended even if the step was
killed. The second does the work: it fetches code and inputs, lets KFP's executor run the
function, and puts the outputs into the store. The result is written last of all, so whoever
finds it finds everything else as well.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from headrace.core.states import State
from headrace.data.digests import content_digest
from headrace.data.store import Store, local_path
from headrace.executing import code, failures, packages, surroundings
from headrace.executing.surroundings import Surroundings
from headrace.sites import journal
from headrace.sites.journal import Event

JOB_FILE = "job.json"
RESULT_FILE = "result.json"
LOG_FILE = "log.txt"
_WORK = Path("/work/step")
_RESULT = _WORK / RESULT_FILE
_LOG = _WORK / LOG_FILE
_BY_ENGINES = ("spark", "ray")
GRACE = 10.0
"""Seconds between asking a step to end and making it."""


def main(arguments: list[str] | None = None) -> int:
    """Run the pod and return its exit code: 0 if the step succeeded."""
    parser = argparse.ArgumentParser(prog="headrace-pod", description=__doc__)
    parser.add_argument("uri", help="the attempt's folder in the store, which holds job.json")
    parser.add_argument("--part", choices=["all", "fetch", "collect"], default="all")
    given = parser.parse_args(arguments)
    around = surroundings.here()
    assert around is not None, "this runs in a pod of a site"
    _WORK.mkdir(parents=True, exist_ok=True)
    match given.part:
        case "fetch":
            return _guarded(given.uri, around, fetch)
        case "collect":
            _guarded(given.uri, around, collect)
            return _tell(given.uri, around.store)
    return _Watch(given.uri, around).run()


class _Watch:
    """The pod's first process."""

    def __init__(self, uri: str, around: Surroundings) -> None:
        self.uri = uri
        self.around = around
        self.child = 0
        self.told_to_end = False

    def run(self) -> int:
        # The store's client has threads of its own: nothing here may touch it before the fork.
        reading, writing = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            os.close(reading)
            _become_the_step(writing, self.uri, self.around)
        os.close(writing)
        signal.signal(signal.SIGTERM, self.end)
        signal.signal(signal.SIGINT, self.end)
        copying = threading.Thread(target=_copy, args=(reading,), daemon=True)
        copying.start()
        status = self.wait()
        with suppress(ProcessLookupError):
            os.killpg(self.child, signal.SIGKILL)  # what it left running
        copying.join(timeout=5)
        if not _RESULT.exists():
            _write_result(self.unfinished(status))
        return _tell(self.uri, self.around.store)

    def wait(self) -> int:
        """The child's status; as the pod's first process this one buries all others too."""
        while True:
            with suppress(InterruptedError):
                pid, status = os.waitpid(-1, 0)
                if pid == self.child:
                    return os.waitstatus_to_exitcode(status)

    def end(self, number: int, frame: object) -> None:
        """Hand the signal on, and do not wait for ever."""
        self.told_to_end = True
        with suppress(ProcessLookupError):
            os.killpg(self.child, signal.SIGTERM)
        timer = threading.Timer(GRACE, self.kill)
        timer.daemon = True
        timer.start()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.child, signal.SIGKILL)

    def unfinished(self, code: int) -> dict[str, Any]:
        """The result of a step that ended without giving one."""
        if self.told_to_end:
            return _result(State.CANCELLED, error=_error("The step's pod was told to end."))
        if code == -signal.SIGKILL:
            hint = "if nobody killed it, it needed more memory than the pod has: ask for more"
            return _result(State.FAILED, error=_error("The step was killed by SIGKILL.", hint))
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return _result(
            State.FAILED, error=_error(f"The step ended {how}.", "its log has what it printed last")
        )


def _become_the_step(writing: int, uri: str, around: Surroundings) -> None:
    """The forked child: never returns."""
    code = 1
    try:
        os.setsid()
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(writing)
        signal.signal(signal.SIGTERM, _on_term)
        code = _guarded(uri, around, work)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _on_term(number: int, frame: object) -> None:
    # As an exception it runs the `finally` blocks that stop engines.
    raise SystemExit(128 + number)


def _guarded(uri: str, around: Surroundings, part: Any) -> int:
    """Do a part of a job; write a result if it ends here. Returns the exit code."""
    try:
        job = json.loads(around.store.read(f"{uri}/{JOB_FILE}") or b"{}")
        done = part(job, around)
        if done is not None:
            _write_result(done)
    except SystemExit as leaving:
        if leaving.code == 128 + signal.SIGTERM:
            return 1
        if leaving.code not in (0, None):
            _write_result(_result(State.FAILED, error=_error(f"The step exited: {leaving.code}")))
            return 1
        _write_result(_collected(job, around.store))
    except BaseException as error:
        traceback.print_exception(error)
        _write_result(_result(State.FAILED, error=failures.describe(error)))
        return 1
    return 0


def work(job: Mapping[str, Any], around: Surroundings) -> dict[str, Any]:
    """Everything that a Python step takes."""
    from headrace.executing import main as executing

    packages.require(job["packages"], remedy="make it an @hr.step with an image that has them")
    fetch(job, around)
    if around.code:
        code.enter(around.store, around.code)
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:1])
    if job.get("history"):
        _keep_history(job["history"])
    if job.get("tracking"):
        _name_tracking_run(around)
    executing.execute({**job, "work": str(_WORK)})
    return _collected(job, around.store)


def fetch(job: Mapping[str, Any], around: Surroundings) -> None:
    """Put the inputs where the step looks for them, and make the folders of its outputs."""
    given = job["executor_input"]
    inputs = [
        one["uri"] for some in given["inputs"]["artifacts"].values() for one in some["artifacts"]
    ]
    for uri in inputs if job["engine"] not in _BY_ENGINES else ():
        if uri.startswith("s3://") and (why := around.store.obtain(uri, local_path(uri))):
            print(f"{uri} is not fetched: {why}", file=sys.stderr)
    files = [one["outputFile"] for one in given["outputs"]["parameters"].values()]
    for file in [*files, given["outputs"]["outputFile"]]:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    for some in given["outputs"]["artifacts"].values():
        for one in some["artifacts"]:
            local_path(one["uri"]).parent.mkdir(parents=True, exist_ok=True)


def collect(job: Mapping[str, Any], around: Surroundings) -> dict[str, Any]:
    """What a container component left behind, once it has ended well."""
    return _collected(job, around.store)


def _collected(job: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """The result of a step that ended well, its outputs put into the store."""
    planned = job["executor_input"]["outputs"]
    output = Path(planned["outputFile"])
    wrote: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    files = {name: Path(one["outputFile"]) for name, one in planned["parameters"].items()}
    artifacts = {}
    for name, some in planned["artifacts"].items():
        written = wrote.get("artifacts", {}).get(name, {}).get("artifacts", [{}])[0]
        artifacts[name] = _kept(some["artifacts"][0]["uri"], written, store)
    return _result(
        State.SUCCEEDED,
        parameters=wrote.get("parameterValues", {}),
        files={name: file.read_text() for name, file in files.items() if file.exists()},
        artifacts=artifacts,
    )


def _kept(planned: str, written: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """One output artifact, uploaded if its content lies here."""
    uri = str(written.get("uri") or planned)
    facts = {"uri": uri, "metadata": written.get("metadata") or {}}
    if not uri.startswith("s3://"):
        return {**facts, "digest": None, "listing": None}
    path = Path(written.get("custom_path") or local_path(uri))
    digest = content_digest(path)
    if digest is not None:
        store.upload(path, uri)
    listing = store.known_digest(uri)
    return {**facts, "digest": digest or listing, "listing": listing}


def _keep_history(events: Sequence[Event]) -> None:
    """Put what the run's journal says into the place where the registry looks for it."""
    from headrace.registry.context import current

    known = current()
    folder = known.home.run(known.run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / journal.FILE).write_text("".join(f"{json.dumps(one)}\n" for one in events))


def _name_tracking_run(around: Surroundings) -> None:
    """Have MLFLOW_RUN_ID name this step's run, for code that logs by itself."""
    from headrace.registry.context import current

    found = current().recorded_runs(around.step)
    if found is not None and around.step in found.steps:
        os.environ["MLFLOW_RUN_ID"] = found.steps[around.step]


def _result(state: State, **facts: Any) -> dict[str, Any]:
    return {"state": state, "parameters": {}, "files": {}, "artifacts": {}, "error": None, **facts}


def _error(what: str, hint: str = "") -> dict[str, Any]:
    return {
        "kind": "StepFailed", "what": what, "where": [], "hint": hint, "exit_code": 1,
        "traceback": "",
    }  # fmt: skip


def _write_result(result: Mapping[str, Any]) -> None:
    text = json.dumps(result, default=str)
    try:
        _RESULT.write_text(text)
    except OSError:
        # The disk is full. What this attempt wrote is of no use to anybody, and makes room.
        shutil.rmtree("/s3", ignore_errors=True)
        _RESULT.write_text(text)


def _tell(uri: str, store: Store) -> int:
    """Put the log and then the result into the store; the exit code that fits the result."""
    if _LOG.exists():
        store.upload(_LOG, f"{uri}/{LOG_FILE}")
    result = json.loads(_RESULT.read_text())
    result["pod"] = os.environ.get(surroundings.POD, "")
    result["ended"] = time.time()
    store.write(f"{uri}/{RESULT_FILE}", json.dumps(result).encode())
    return 0 if result["state"] == State.SUCCEEDED else 1


def _copy(reading: int) -> None:
    """Hand what the step prints on to the pod's log, and keep it."""
    with _LOG.open("ab", buffering=0) as kept:
        while block := os.read(reading, 2**16):
            os.write(1, block)
            with suppress(OSError):  # the disk is full: the pod's own log goes on
                kept.write(block)


if __name__ == "__main__":
    sys.exit(main())
