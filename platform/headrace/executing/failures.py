"""What a step says of the exception that ended it: short for people, whole in the log."""

from __future__ import annotations

import errno
import sys
import traceback
from pathlib import Path
from typing import Any

from headrace.core.errors import HeadraceError
from headrace.engines import spark

_LIBRARIES = (f"{sys.prefix}/", f"{sys.base_prefix}/lib/", "<frozen", "<string>")
_OURS = str(Path(__file__).parents[1])
_FRAMES = 6


class Described(Exception):
    """An error that was described where it happened, in another process."""

    def __init__(self, description: dict[str, Any]) -> None:
        super().__init__(description["what"])
        self.description = description


def describe(error: BaseException) -> dict[str, Any]:
    """The error as the journal records it.

    The traceback keeps the user's own frames; when there are none, the last few there are.
    """
    if isinstance(error, Described):
        return error.description
    if isinstance(error, HeadraceError):
        return {
            "kind": type(error).__name__,
            "what": error.what,
            "where": list(error.where),
            "hint": error.hint,
            "exit_code": error.exit_code,
            "traceback": "",
        }
    hint = ""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        hint = "the disk is full: free some space and run again; what is complete is kept"
    text = spark.explain(error) or _text(error)
    return {
        "kind": type(error).__name__,
        "what": f"{type(error).__name__}: {text}" if text else type(error).__name__,
        "where": [],
        "hint": hint,
        "exit_code": 1,
        "traceback": user_traceback(error),
    }


def _text(error: BaseException) -> str:
    try:
        return str(error).strip()
    except Exception:  # a user's class may do anything when asked for its text
        return ""


def user_traceback(error: BaseException) -> str:
    """The frames of the user's own files, innermost last, without the error's text."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if not foreign(one.filename)]
    kept = (own or list(frames))[-_FRAMES:]
    return "".join(traceback.format_list(kept)).rstrip()


def foreign(file: str) -> bool:
    """Whether a source file is a library's, Python's or ours, and not the user's."""
    inside_libraries = "site-packages" in file or file.startswith(_LIBRARIES)
    return inside_libraries or file.startswith(_OURS) or "ephemeral_component" in file
