"""Disk, memory, ports: what the machine has to offer."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from headrace.cli.checks.finding import Finding, caution, fine, wrong
from headrace.cli.ports import LOOPBACK, is_free
from headrace.cli.render.quantities import size
from headrace.sites.home import Home

TIGHT_BYTES = 5_000_000_000
"""Less free disk than this may not last for a run with Spark."""

FULL_BYTES = 500_000_000
"""With less than this, a run is likely to fail."""

TIGHT_MEMORY = 3_000_000_000
"""Spark's driver and two training workers want about this much."""

PORTS = {5000: "headrace open", 8500: "headrace serve"}
"""The ports that are tried first."""


def machine(home: Home) -> Iterator[Finding]:
    """Answers on the machine."""
    yield check_disk(home)
    if finding := check_memory():
        yield finding
    yield check_ports()


def check_disk(home: Home) -> Finding:
    """Whether there is room for results, and for what Spark spills."""
    places = {_existing(home.root), Path(tempfile.gettempdir())}
    free = {place: shutil.disk_usage(place).free for place in places}
    tightest = min(free, key=lambda place: free[place])
    text = f"{size(free[tightest])} free at {tightest}"
    remedy = "headrace clean --older-than 30 --dry-run shows what can go; or move with --home"
    if free[tightest] < FULL_BYTES:
        return wrong("disk", text, remedy)
    if free[tightest] < TIGHT_BYTES:
        return caution("disk", text, remedy)
    return fine("disk", text)


def check_memory() -> Finding | None:
    """Whether there is memory for Spark and training side by side. None where it is not told."""
    available: dict[str, int] = {}
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            available[name] = int(rest.split()[0]) * 1024
    if "MemAvailable" not in available:
        return None
    free, cores = available["MemAvailable"], len(os.sched_getaffinity(0))
    text = f"{size(free)} of {size(available['MemTotal'])} free, {cores} cores"
    if free < TIGHT_MEMORY:
        remedy = "end other programs, or run with --jobs 1 and a smaller memory= in hr.spark"
        return caution("memory", text, remedy)
    return fine("memory", text)


def check_ports() -> Finding:
    """Whether servers can listen here, and whether the usual ports are free."""
    try:
        with (
            socket.create_server((LOOPBACK, 0)) as server,
            socket.create_connection(server.getsockname()[:2], timeout=2),
        ):
            pass
    except OSError as error:
        return wrong(
            "ports", f"nothing can listen on {LOOPBACK}: {error}", "look at the firewall's rules"
        )
    taken = [f"{port} ({verb})" for port, verb in PORTS.items() if not is_free(port)]
    if taken:
        return fine("ports", f"in use: {', '.join(taken)}; the next free ones are taken")
    return fine("ports", ", ".join(f"{port}" for port in PORTS) + " are free")


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
