"""How times, sizes and figures are written for people."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping


def duration(seconds: float | None) -> str:
    """How long something took.

    >>> [duration(one) for one in (0.04, 3.21, 59.96, 72.4, 3725)]
    ['0.0 s', '3.2 s', '1 min 00 s', '1 min 12 s', '1 h 02 min']
    """
    if seconds is None:
        return ""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def clock(seconds: float) -> str:
    """A running time, as a stopwatch shows it.

    >>> [clock(one) for one in (7.9, 72, 3725)]
    ['0:07', '1:12', '1:02:05']
    """
    whole = max(0, int(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{whole % 60:02d}"


def moment(unix: float) -> str:
    """Local date and time to the minute: `2026-11-24 08:15`."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(unix))


def day_and_time(unix: float) -> str:
    """As `moment` where the year stands beside it already: `24 Nov 08:15`."""
    return time.strftime("%d %b %H:%M", time.localtime(unix))


def size(count: float) -> str:
    """Bytes in decimal units.

    >>> [size(one) for one in (0, 999, 1500, 12_345_678, 3.2e9)]
    ['0 B', '999 B', '1.5 kB', '12 MB', '3.2 GB']
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"


def figure(value: object) -> str:
    """A metric's value to four significant digits; whole numbers stay whole.

    >>> [figure(one) for one in (0.712345, 3.0, 120000, 0.00001234, 1234.567, True)]
    ['0.7123', '3', '120000', '1.234e-05', '1235', 'True']
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if math.isfinite(value) and value == int(value) and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.4g}"


def figure_list(values: Mapping[str, object], *, most: int | None = None) -> str:
    """`auc 0.7123 · brier 0.131`, the first `most` of them.

    >>> figure_list({"auc": 0.712345, "epoch": 3, "loss": 0.5}, most=2)
    'auc 0.7123 · epoch 3'
    """
    pairs = list(values.items())[:most]
    return " · ".join(f"{key} {figure(value)}" for key, value in pairs)


def count(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun.

    >>> count(1, "step"), count(3, "step"), count(2, "entry", "entries")
    ('1 step', '3 steps', '2 entries')
    """
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
