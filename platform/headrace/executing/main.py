"""The life of one step's process on this machine, from its job to its exit code."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from headrace.core.errors import StepFailed
from headrace.executing import failures

ERROR_FILE = "error.json"
"""What went wrong, in the step's work folder."""

_TRACKING_WAIT = 20.0


def main(job: Mapping[str, Any]) -> int:
    """Run a job and return the process's exit code.

    A job says `kind` (`python`, `host` or `call`), `env`, `cwd`, `log`, `work`, `code`
    (folder with the project's code, or None) and what its kind needs: `program`,
    `function` and `executor_input`; `argv`; or `call` and `arguments`.
    """
    _attach(Path(job["log"]))
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    signal.signal(signal.SIGTERM, _on_term)
    if job["code"]:
        sys.path.insert(0, job["code"])
    try:
        match job["kind"]:
            case "python":
                _await_tracking(job)
                execute(job)
            case "host":
                return _host(job["argv"])
            case "call":
                _call(job["call"], job["arguments"])
    except BaseException as error:
        return _failed(error, job)
    return 0


def _attach(log: Path) -> None:
    """Let everything that this process and its children print go to the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


def _on_term(number: int, frame: object) -> NoReturn:
    # As an exception it runs the `finally` blocks that stop engines.
    raise SystemExit(128 + number)


def execute(job: Mapping[str, Any]) -> None:
    """Load the component's program and let KFP's own executor run it.

    Args:
        job: `work` (a folder), `program`, `function` and `executor_input`.
    """
    from kfp.dsl.executor import Executor

    program = Path(job["work"]) / "ephemeral_component.py"
    program.write_text(job["program"])
    spec = importlib.util.spec_from_file_location("ephemeral_component", program)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ephemeral_component"] = module
    spec.loader.exec_module(module)
    function = getattr(module, job["function"])

    class WithEmptyLists(Executor):  # type: ignore[misc]
        """KFP's executor hands over None where a list of artifacts has no items."""

        def get_input_artifact(self, name: str) -> Any:
            given = self.executor_input["inputs"]["artifacts"]
            empty = name in given and not given[name]["artifacts"]
            return [] if empty else super().get_input_artifact(name)

    WithEmptyLists(executor_input=job["executor_input"], function_to_execute=function).execute()


def _host(argv: list[str]) -> int:
    """A container component: its command as a process of this machine."""
    try:
        code = subprocess.run(argv, check=False).returncode
    except FileNotFoundError as error:
        raise StepFailed(
            f"This machine has no program {error.filename!r}.",
            hint="container components run as processes of this machine; "
            "their image is used on a cluster only",
        ) from error
    if code < 0:  # end as it ended, so that the runner sees the signal
        with suppress(OSError):  # SIGKILL has no handler to take away
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _call(target: str, arguments: Mapping[str, Any]) -> None:
    module, _, name = target.partition(":")
    getattr(importlib.import_module(module), name)(**arguments)


def _await_tracking(job: Mapping[str, Any]) -> None:
    """Have MLFLOW_RUN_ID name this step's run, if its code uses MLflow.

    The recorder makes the run; on a cold start its database may still be in the making.
    """
    tracking = job.get("tracking")
    if not tracking:
        return
    from headrace.registry.recorder import ERROR_FILE as RECORD_ERROR

    deadline = time.monotonic() + _TRACKING_WAIT
    while time.monotonic() < deadline:
        try:
            found = json.loads(Path(tracking).read_text())["steps"].get(os.environ["HEADRACE_STEP"])
        except (OSError, ValueError, KeyError):
            found = None
        if found:
            os.environ["MLFLOW_RUN_ID"] = found
            return
        if (Path(tracking).parent / RECORD_ERROR).exists():
            return  # nobody will make it
        time.sleep(0.02)


def _failed(error: BaseException, job: Mapping[str, Any]) -> int:
    if isinstance(error, SystemExit) and error.code in (128 + signal.SIGTERM, 0, None):
        return int(error.code or 0)
    text = json.dumps(failures.describe(error))
    target = Path(job["work"]) / ERROR_FILE
    try:
        target.write_text(text)
    except OSError:
        # The disk is full. What this attempt wrote is of no use to anybody, and makes room.
        if job["kind"] == "python":
            output = Path(job["executor_input"]["outputs"]["outputFile"])
            shutil.rmtree(output.parent, ignore_errors=True)
        with suppress(OSError):
            target.write_text(text)
    with suppress(OSError):
        traceback.print_exception(error)
    return 1
