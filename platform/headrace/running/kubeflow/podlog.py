"""What the log of a step's pod under KFP says: the user's lines, reports, outputs, failure. Pure.

KFP's launcher and its executor write between the lines of the user. The launcher also says
there what the step has made; the API server tells it nowhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.executing import failures, reports

_GLOG = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.]+:\d+\] (.*)")
_KFP = re.compile(r"\[KFP Executor [^\]]*\]: (.*)")
_OUTPUT = "ExecutorOutput: "
_INPUT = "output ExecutorInput:"
_CACHED = re.compile(r'cached_execution_id" +value:\{string_value:"(\d+)"')
_IMPORTED = re.compile(
    r'Artifact URI (?:as constant: string_value:("(?:[^"\\]|\\.)*")|from runtime parameter: (.*))'
)
_STATUS = re.compile(r"failed to execute component: (?:exit status (\d+)|signal: killed)")
_DRIVER = re.compile(r"KFP driver: driver\.\w+\(.*?\) failed: ")
_TRACEBACK = "Traceback (most recent call last):"
_FILE = re.compile(r'  File "([^"]+)", line \d+')
_KILLED = 137
_FRAMES = 6
FAILED = "step_failed"
"""The type of the report in which a step describes what ended it."""


@dataclass(frozen=True, kw_only=True)
class PodLog:
    """One pod's log, taken apart."""

    lines: tuple[str, ...]
    """What the step itself has printed."""
    told: tuple[dict[str, Any], ...]
    """What it has reported: metrics and notes."""
    failure: dict[str, Any] | None
    """What ended it, in its own words."""
    output: dict[str, Any] = field(default_factory=dict)
    """What KFP's executor wrote: `parameterValues` and `artifacts`."""
    given: dict[str, Any] = field(default_factory=dict)
    """Of a driver: what the executor would be given."""
    cached: str = ""
    """Of a driver: the execution whose result stands in."""
    imported: str = ""
    """Of an importer: the artifact's URI."""
    status: int | None = None
    """The exit status of the step's command; None if it was not said."""
    last_words: str = ""
    """The launcher's or driver's last complaint."""


def read(text: str) -> PodLog:
    """Take a log apart."""
    lines: list[str] = []
    told: list[dict[str, Any]] = []
    facts: dict[str, Any] = {}
    failure = None
    for who, line in _by_writer(text):
        if who == "kfp":
            facts |= _facts(line)
        elif (report := reports.read(line)) is None:
            lines.append(line)
        elif report.get("type") == FAILED:
            failure = report.get("error")
        else:
            told.append(report)
    return PodLog(lines=tuple(lines), told=tuple(told), failure=failure, **facts)


def describe(log: PodLog, *, message: str, where: list[str]) -> dict[str, Any]:
    """The error of a step that failed, as the journal has it.

    Args:
        log: Its log, as far as there is one.
        message: What the workflow's controller says of its pod.
        where: The pod, and the log's file.
    """
    if log.failure is not None:
        return {**log.failure, "where": [*log.failure.get("where", []), *where]}
    error = {"kind": "StepFailed", "where": where, "hint": "", "exit_code": 1, "traceback": ""}
    if "OOMKilled" in message or log.status == _KILLED:
        hint = "if nobody killed it, it needed more memory than its pod has: ask for more"
        return {**error, "what": "The step was killed by SIGKILL.", "hint": hint}
    raised = _raised(log.lines)
    if raised is not None:
        return {**error, **raised}
    if log.last_words and log.status is None:
        return {**error, "what": f"Kubeflow Pipelines could not run the step: {log.last_words}"}
    if log.status is not None:
        what = f"The step ended with exit code {log.status}."
        return {**error, "what": what, "hint": "its log has what it printed last"}
    return {**error, "what": f"The pod failed: {message or 'no reason was recorded'}"}


def _by_writer(text: str) -> Iterator[tuple[str, str]]:
    """Each line with whose it is, what KFP writes over several lines as one."""
    rest = iter(text.removesuffix("\n").split("\n"))
    for line in rest:
        match = _GLOG.fullmatch(line) or _KFP.fullmatch(line)
        if match is None:
            yield "user", line
            continue
        said = match[match.lastindex or 0]
        if said.endswith("{") or said == "Got executor_input:":
            block = []
            for more in rest:
                block.append(more)
                if more == "}":
                    break
            said = "\n".join([said, *block])
        yield "kfp", f"{line[0]} {said}"


def _facts(line: str) -> dict[str, Any]:
    level, said = line[0], line[2:]
    found: dict[str, Any] = {}
    for name, mark in (("output", _OUTPUT), ("given", _INPUT)):
        if said.startswith(mark):
            found[name] = _parsed(said.removeprefix(mark))
    if match := _CACHED.search(said):
        found["cached"] = match[1]
    if match := _IMPORTED.search(said):
        found["imported"] = json.loads(match[1]) if match[1] else match[2]
    if match := _STATUS.search(said):
        found["status"] = int(match[1] or _KILLED)
    if level in "EF":
        found["last_words"] = _DRIVER.sub("", said)
    return found


def _parsed(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:  # cut short
        return {}
    return found


def _raised(lines: tuple[str, ...]) -> Mapping[str, Any] | None:
    """The exception that a Python program printed last."""
    starts = [at for at, line in enumerate(lines) if line == _TRACEBACK]
    if not starts:
        return None
    body = list(lines[starts[-1] + 1 :])
    end = next((at for at, line in enumerate(body) if not line.startswith(" ")), None)
    if end is None:
        return None
    # A text of several lines cannot be told from what the step printed afterwards.
    name, colon, text = body[end].partition(":")
    kind = name.rpartition(".")[2]
    return {"kind": kind, "what": f"{kind}{colon}{text}", "traceback": _own_frames(body[:end])}


def _own_frames(lines: list[str]) -> str:
    """The frames of the user's own files; when there are none, the last few there are."""
    frames: list[list[str]] = []
    for line in lines:
        if _FILE.match(line):
            frames.append([])
        if frames:
            frames[-1].append(line)
    own = [one for one in frames if not failures.foreign(_FILE.match(one[0])[1])]  # type: ignore[index]
    return "\n".join(line for one in (own or frames)[-_FRAMES:] for line in one)
