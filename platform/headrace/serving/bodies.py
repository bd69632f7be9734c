"""Bytes of a request → one JSON object."""

from __future__ import annotations

import json
from typing import Any

import orjson

from headrace.serving.refusal import Refusal, kind_of

# Python's own json writes these, and so do MLflow's clients; strict JSON has no such words.
PYTHON_WORDS = (b"NaN", b"Infinity")


def read_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object; `NaN` and `Infinity` are understood too.

    Raises:
        Refusal: Malformed, and where; or not an object.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not any(word in body for word in PYTHON_WORDS):
            raise _malformed(str(error)) from None
        value = _read_loosely(body)
    if not isinstance(value, dict):
        what = "The body is no JSON object."
        raise Refusal(what=what, expected="an object", got=kind_of(value))
    return value


def _read_loosely(body: bytes) -> Any:
    try:
        value = json.loads(body)
        # What strict JSON cannot hold besides those words (lone surrogates, huge integers) is out.
        orjson.dumps(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise _malformed(str(error)) from None
    return value


def _malformed(why: str) -> Refusal:
    why = why.encode("utf-8", "backslashreplace").decode()
    return Refusal(what=f"The body is not valid JSON: {why}.")
