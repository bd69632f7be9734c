"""Kubernetes' quantities as numbers."""

from __future__ import annotations

import re

_FACTORS = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9} | {
    suffix: 10.0 ** (3 * power) for power, suffix in enumerate("kMGTPE", start=1)
}
_FACTORS |= {f"{one}i": 2.0 ** (10 * power) for power, one in enumerate("KMGTPE", start=1)}
_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([a-zA-Z]*)")


def amount(quantity: str | float) -> float:
    """A quantity in cores, bytes or pieces.

    >>> amount("500m"), amount("2Gi"), amount("1e3"), amount(4)
    (0.5, 2147483648.0, 1000.0, 4.0)

    Raises:
        ValueError: It is none.
    """
    match = _QUANTITY.fullmatch(str(quantity).strip())
    if match is None or match[2] not in _FACTORS:
        raise ValueError(f"{quantity!r} is no quantity")
    return float(match[1]) * _FACTORS[match[2]]


def memory(size: float) -> str:
    """Bytes as Kubernetes' users write memory.

    >>> memory(2 * 2**30), memory(1.5 * 2**30), memory(300 * 2**20)
    ('2Gi', '1.5Gi', '300Mi')
    """
    unit, factor = ("Gi", 2.0**30) if size >= 2**30 else ("Mi", 2.0**20)
    return f"{round(size / factor, 1):g}{unit}"
