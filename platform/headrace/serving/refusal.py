"""An answer that is no prediction: what was wrong with a request, so that it can be mended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from headrace.core.errors import did_you_mean

SHOWN = 80


@dataclass(kw_only=True, eq=False)
class Refusal(Exception):
    """Why a request gets no prediction.

    The exception that parsers raise; `body()` is what the client reads. (Not frozen: Python
    writes the traceback into it.)
    """

    what: str
    """One sentence."""
    status: int = 400
    """The HTTP status."""
    field: str | None = None
    """The input, column, parameter or JSON key that is meant."""
    expected: str | None = None
    """What would have been right."""
    got: str | None = None
    """What came instead."""
    hint: str | None = None
    """Near misses, or what to do."""
    allow: str | None = None
    """The `Allow` header of a 405."""

    def __str__(self) -> str:
        parts = [self.what]
        if self.expected is not None:
            parts.append(f"Expected {self.expected}" + (f", got {self.got}." if self.got else "."))
        return " ".join([*parts, self.hint] if self.hint else parts)

    def body(self, *, mlflow: bool = False) -> bytes:
        """The JSON answer; with MLflow's own keys too where its clients read it."""
        keys = ("field", "expected", "got", "hint")
        told: dict[str, Any] = {"error": str(self)}
        told |= {key: value for key in keys if (value := getattr(self, key)) is not None}
        if mlflow:
            code = "BAD_REQUEST" if self.status < 500 else "INTERNAL_ERROR"
            told |= {"error_code": code, "message": told["error"]}
        return orjson.dumps(told)


def show(value: Any) -> str:
    """A value as an error may quote it: short, on one line, and UTF-8 whatever it was."""
    text = repr(value)
    text = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    return text.encode("utf-8", "backslashreplace").decode()


def kind_of(value: Any) -> str:
    """What a JSON value is, in JSON's words."""
    match value:
        case None:
            return "null"
        case bool():
            return f"the boolean {str(value).lower()}"
        case int() | float():
            return f"the number {show(value)}"
        case str():
            return f"the string {show(value)}"
        case list():
            return f"a list of {len(value)}"
        case dict():
            return f"an object with {show(sorted(map(str, value)))}"
        case _:
            return show(value)


def near(name: str, known: Iterable[str]) -> str | None:
    """A hint that names the near misses among what there is."""
    # A client's name may be megabytes long, and the search for near misses is quadratic.
    return did_you_mean(name[:SHOWN], known) or None
