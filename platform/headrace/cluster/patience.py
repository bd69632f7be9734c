"""Asks again while a server does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from headrace.core.errors import HeadraceError

_Answer = TypeVar("_Answer")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 3.0


def patiently(
    request: Callable[[], _Answer],
    *,
    unanswered: type[HeadraceError],
    seconds: float,
    on_wait: Callable[[str], None] | None,
    back: str,
) -> _Answer:
    """What a request gives, made again and again until the server answers.

    Args:
        request: Makes it once.
        unanswered: What it raises if the server does not answer.
        seconds: For how long to go on.
        on_wait: Told once when the server stops answering, and once when it answers again.
        back: What to say then.

    Raises:
        HeadraceError: The server did not answer for so long, or it refused.
    """
    until = time.monotonic() + seconds
    pause, waited = _FIRST_PAUSE, False
    while True:
        try:
            answer = request()
        except unanswered as error:
            if time.monotonic() + pause > until:
                raise
            if not waited and on_wait:
                on_wait(error.what)
            waited = True
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            if waited and on_wait:
                on_wait(back)
            return answer
