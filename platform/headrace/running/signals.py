"""The signals by which users and systems end programs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def on_signals(handler: Callable[[], None]) -> Iterator[None]:
    """Call `handler` on the signals by which users and systems end programs."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # Outside the main thread signals are the affair of whoever called us.
    with suppress(RuntimeError, ValueError):
        for number in numbers:
            loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in numbers:
            with suppress(RuntimeError, ValueError):
                loop.remove_signal_handler(number)
