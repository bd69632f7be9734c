"""What failed in a Spark step on a cluster, in our words. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence
from typing import Any

from headrace.cluster import errors
from headrace.engines.spark_executors import End

_MORE_MEMORY = "give each executor more with hr.spark(memory=…), or make partitions smaller"
_NO_BUCKET = ("bucket is null/empty", "null uri host")


class Explained(Exception):
    """A failure whose reason was found.

    Args:
        what: What happened; empty if the error itself says it well.
        hint: What to do.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what or hint)
        self.what = what
        self.hint = hint

    def over(self, description: dict[str, Any]) -> dict[str, Any]:
        """A description of the error, with what was found put over it."""
        found = {"what": self.what, "hint": self.hint}
        return description | {key: text for key, text in found.items() if text}


def explained(
    error: BaseException,
    *,
    ends: Sequence[End],
    given_up: str = "",
    jvm: int | None = None,
    memory: str = "",
) -> Explained | None:
    """The reason of a failure; None if the error says all there is.

    Args:
        error: What the step raised.
        ends: How executors were lost.
        given_up: Why executors are waited for no longer.
        jvm: How the driver's JVM ended; None while it lives.
        memory: What an executor's pod may use, in Kubernetes' notation.
    """
    if given_up:
        return Explained(
            given_up,
            "`headrace logs` shows what executors printed; what they ask for is "
            "hr.spark's and the site's, and how long they are waited for is limits.pending",
        )
    if jvm is not None:
        return _driver_ended(jvm)
    text = str(error)
    found = (one(text, ends, memory) for one in _READINGS)
    return next((one for one in found if one is not None), None)


def is_without_cluster(error: BaseException) -> bool:
    """Whether Spark could not start for want of an answer from the API server.

    A refusal is an answer: it says `Forbidden`, or what was not found.
    """
    text = str(error)
    refused = "Forbidden" in text or "NotFound" in text or "code=40" in text
    return "External scheduler cannot be instantiated" in text and not refused


def _driver_ended(code: int) -> Explained:
    if code == -signal.SIGKILL:
        return Explained(
            "Spark's driver was killed: its JVM ended by SIGKILL.",
            "if nobody killed it, the step's pod has too little memory for the JVM and Python: "
            "ask for more with set_memory_limit, or collect less",
        )
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return Explained(
        f"Spark's driver ended {how} in the middle of the step.",
        "the step's log has what its JVM printed last",
    )


def _path(text: str, ends: Sequence[End], memory: str) -> Explained | None:
    """Paths are URIs here, which neither `pathlib` nor `open` understands."""
    if re.search(r"No such file or directory: '?s3a?:/", text):
        return Explained(
            "",
            "in a Spark step on a cluster an artifact's path is a URI, for Spark to read or "
            "write; write other files in a step of their own",
        )
    if any(one in text for one in _NO_BUCKET):
        return Explained(
            "A path names no bucket: pathlib takes one of the slashes of s3a:// away.",
            'join paths of artifacts as texts, as in f"{table.path}/part"',
        )
    return None


def _lost(text: str, ends: Sequence[End], memory: str) -> Explained | None:
    """Tasks fail for good when their executors were lost again and again."""
    if "Python worker exited unexpectedly" in text:
        room = f", which may use {memory} each" if memory else ""
        return Explained(
            "Python ended suddenly on an executor. If nobody killed it, it was killed for want "
            f"of memory in the executors' pods{room}.",
            _MORE_MEMORY,
        )
    if "ExecutorLostFailure" not in text and "OutOfMemoryError" not in text:
        return None
    starved = [one for one in ends if one.memory]
    if starved:
        return Explained(f"Executors had too little memory: {starved[-1]}.", _MORE_MEMORY)
    if ends:
        return Explained(f"Executors were lost: {ends[-1]}.", "run again; what is complete is kept")
    return None


def _driver_heap(text: str, ends: Sequence[End], memory: str) -> Explained | None:
    """Results that are collected have to fit into the step's own pod."""
    if "maxResultSize" in text or "OutOfMemoryError" in text:
        return Explained(
            "",
            "what a step collects must fit into its own pod: collect less, or ask for more memory "
            "with set_memory_limit",
        )
    return None


def _committer(text: str, ends: Sequence[End], memory: str) -> Explained | None:
    if "dynamicPartitionOverwrite" in text or "dynamic partition overwrite" in text:
        return Explained(
            "",
            "in an object store partitions cannot be replaced one by one: write to the step's "
            "own output, which is new in each attempt",
        )
    return None


def _store(text: str, ends: Sequence[End], memory: str) -> Explained | None:
    if found := re.search(r"UnknownStoreException: `?s3a?://([^/'`]+)", text):
        return Explained(f"The store has no bucket {found[1]!r}.")
    if found := re.search(r"AccessDeniedException: `?(s3a?://[^'`:]*|[^:]*)", text):
        return Explained(
            f"The store refuses it: {found[1]}",
            "the account needs to list, read, write and delete there",
        )
    return None


def _forbidden(text: str, ends: Sequence[End], memory: str) -> Explained | None:
    if "is forbidden: User" not in text:
        return None
    problem = errors.from_answer(403, text, asked="make executors", where="")
    return Explained(problem.what, problem.hint)


_READINGS: tuple[Callable[[str, Sequence[End], str], Explained | None], ...] = (
    _path, _lost, _driver_heap, _committer, _store, _forbidden,
)  # fmt: skip
