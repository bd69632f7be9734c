"""What runs on the head of a Ray step's cluster: `python -m headrace.executing.ray_job URI`.

It reads what to do from the attempt's folder in the store, has Ray Train's controller and
workers do it, hands on what they report and print, and leaves the result there, last of all.
If the step's own pod goes, so does everything here.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from headrace.cluster import contexts
from headrace.cluster.errors import ClusterProblem, Forbidden
from headrace.core.errors import HeadraceError
from headrace.data.store import Store
from headrace.engines.ray import RaySpec
from headrace.engines.ray_logs import EVENT, FINISHED, event_line, tag
from headrace.engines.ray_remote import EVENTS, RESULT
from headrace.engines.ray_training import (
    EXPERIMENT,
    SNAPSHOT,
    Outcome,
    Plan,
    forget,
    read_events,
    train,
)
from headrace.executing import ray_worker

JOB = "ray.json"
"""What to do, in the attempt's folder."""
_PRINTING = {"RAY_COLOR_PREFIX": "0", "RAY_DEDUP_LOGS": "0"}
"""Every line of every worker, without colours."""
_CONTAINER = "/proc/1/fd/1"
_OWNER_PAUSE = 3.0
_EVENTS_PAUSE = 0.2
_LAST_LINES = 2.0
_SESSION = Path("/tmp/ray/session_latest/logs")  # noqa: S108
_SESSION_LOGS = ("gcs_server.*", "raylet.*", "dashboard.log", "dashboard_agent.log", "monitor.*")
_TAIL = 2**18


def main(arguments: list[str] | None = None) -> int:
    """Run the job and return its exit code: 0 if the training ended well."""
    parser = argparse.ArgumentParser(prog="headrace-ray-job", description=__doc__)
    parser.add_argument("uri", help="the attempt's folder in the store, which holds ray.json")
    uri = parser.parse_args(arguments).uri
    store = ray_worker.site_store()
    job = json.loads(store.read(f"{uri}/{JOB}") or b"{}")
    os.environ.update(_PRINTING)
    printed = _Printed(job["name"])
    _watch_owner(job["owner"], job["name"], stays=job["stays"])
    with tempfile.TemporaryDirectory(prefix="headrace-ray-") as folder:
        events = Path(folder) / "events.jsonl"
        telling = _Telling(events, printed)
        result = _guarded(job, store, events)
        result["events"] = telling.stop()
        if events.exists():
            store.upload(events, f"{uri}/{EVENTS}")
        if "outcome" not in result:
            _keep_session(store, uri)
        store.write(f"{uri}/{RESULT}", json.dumps(result).encode())
        if "outcome" in result:
            forget(job["checkpoints"].removeprefix("s3://"), store.endpoint, store.region)
    printed.wait_for(job["spec"]["workers"])
    printed.say(event_line(FINISHED, result["events"] + 1))
    printed.close()
    return 0 if result.get("outcome") else 1


def _guarded(job: Mapping[str, Any], store: Store, events: Path) -> dict[str, Any]:
    """The result: `outcome` (what rank 0 gave), or one of `raised`, `lost` and `broken`."""
    try:
        outcome = train(_plan(job, store, events))
    except BaseException as error:
        traceback.print_exc()
        cause = getattr(error, "cause", None) or error  # what Ray has wrapped
        return {"broken": f"{type(cause).__name__}: {cause}"}
    return result_of(outcome)


def _plan(job: Mapping[str, Any], store: Store, events: Path) -> Plan:
    checkpoints = str(job["checkpoints"])
    return Plan(
        spec=RaySpec(**job["spec"]),
        loop=ray_worker.loop,
        given=dict(job),
        checkpoints=checkpoints.removeprefix("s3://"),
        endpoint=store.endpoint,
        region=store.region,
        events=events,
        began_with=_report_of_checkpoint(store, f"{checkpoints}/{EXPERIMENT}/{SNAPSHOT}"),
    )


def _report_of_checkpoint(store: Store, uri: str) -> int | None:
    """The number of the report that came with the checkpoint that is there; None without one."""
    found = store.read(uri)
    reports = json.loads(found)["checkpoint_report_indices"] if found else []
    return int(reports[-1]) if reports else None


def result_of(outcome: Outcome) -> dict[str, Any]:
    """An outcome as the store keeps it."""
    if outcome.value is not None:
        return {"outcome": base64.b64encode(outcome.value).decode()}
    if outcome.raised is not None:
        return {"raised": dict(outcome.raised)}
    if outcome.lost is not None:
        return {"lost": dict(outcome.lost)}
    return {"broken": outcome.broken or "rank 0 gave no result"}


def _keep_session(store: Store, uri: str) -> None:
    """Keep what Ray's own processes on the head have logged."""
    with suppress(HeadraceError, OSError):
        for pattern in _SESSION_LOGS:
            for file in _SESSION.glob(pattern):
                store.write(f"{uri}/ray/session/{file.name}", file.read_bytes()[-_TAIL:])


def _watch_owner(owner: Mapping[str, str], name: str, *, stays: bool) -> None:
    """End this job, and its cluster, when the step's pod has ended or is gone."""

    def watch() -> None:
        cluster, refused = contexts.inside(), False
        while True:
            time.sleep(_OWNER_PAUSE)
            try:
                pod = cluster.get("pods", owner["name"])
            except Forbidden as error:
                if not refused:
                    print(f"headrace: nobody ends this job when its step has ended: {error.what}")
                refused = True
                continue
            except ClusterProblem:
                continue
            if not lives(pod, owner["uid"]):
                print(f"headrace: the step's pod {owner['name']} has ended: so does this job")
                with suppress(ClusterProblem):
                    if not stays:
                        cluster.delete("rayjobs", name)
                os._exit(3)

    if contexts.is_inside():
        threading.Thread(target=watch, daemon=True).start()


def lives(pod: Mapping[str, Any] | None, uid: str) -> bool:
    """Whether the step's pod is there and at work."""
    if pod is None or pod["metadata"]["uid"] != uid:
        return False
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]


class _Telling:
    """Prints what the controller writes down, line by line, for the step's pod to read."""

    def __init__(self, events: Path, printed: _Printed) -> None:
        self._events, self._printed = events, printed
        self._offset = self._count = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(_EVENTS_PAUSE):
            self._read()
        self._read()

    def _read(self) -> None:
        for line, offset in read_events(self._events, self._offset):
            self._offset = offset
            self._count += 1
            self._printed.say(f"{EVENT}{line}")

    def stop(self) -> int:
        """Tell the rest; how much there was to tell."""
        self._over.set()
        self._thread.join()
        return self._count


class _Printed:
    """Copies what this process prints to its container's output, behind the job's name."""

    def __init__(self, name: str) -> None:
        self._tag = tag(name).encode()
        self._whole = threading.Lock()
        self._done = 0
        self._kept = os.dup(1)
        self._container = -1
        if contexts.is_inside():
            with suppress(OSError):
                self._container = os.open(_CONTAINER, os.O_WRONLY)
        reading, writing = os.pipe()
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(writing)
        self._thread = threading.Thread(target=self._copy, args=(reading,), daemon=True)
        self._thread.start()

    def _copy(self, reading: int) -> None:
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                if ray_worker.DONE.encode() in line:
                    self._done += 1
                else:
                    self._put(line if line.endswith(b"\n") else line + b"\n")

    def say(self, line: str) -> None:
        """Put a line of its own between those that are printed."""
        self._put(f"{line}\n".encode())

    def _put(self, line: bytes) -> None:
        with self._whole:
            os.write(self._kept, line)
            if self._container >= 0:
                with suppress(OSError):
                    os.write(self._container, self._tag + line)

    def wait_for(self, workers: int) -> None:
        """Wait until the last lines of the workers have come through, but not for long."""
        until = time.monotonic() + _LAST_LINES
        while self._done < workers and time.monotonic() < until:
            time.sleep(0.05)

    def close(self) -> None:
        """Let everything printed so far go its way."""
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(self._kept, 1)
        os.dup2(self._kept, 2)
        self._thread.join(timeout=1)


if __name__ == "__main__":
    # Under its own name, so that what it hands to Ray is found there by the workers.
    from headrace.executing.ray_job import main as under_its_name

    code = under_its_name()
    sys.stdout.flush()
    # Ray's threads would hold the end up, and nothing of theirs is needed any more.
    os._exit(code)
