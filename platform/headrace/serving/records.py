"""What is written down about each server of a home."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from headrace.core.errors import UsageError

SAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, kw_only=True)
class ServerRecord:
    """A server that runs on this machine."""

    name: str
    """The registered model's name."""
    version: str
    """The version that it holds."""
    uri: str
    """`models:/NAME/VERSION`."""
    folder: str
    """Where the model's files lie here."""
    alias: str
    """The alias that was resolved to this version; empty if a version was asked for."""
    host: str
    """The address it listens on."""
    port: int
    """The port."""
    pid: int
    """Its process."""
    pid_start: int
    """When that process began (`processes.start_of`), for numbers are used again."""
    run_id: str | None
    """The pipeline run that started it; None if a person did."""
    started: float
    """When it was ready, in unix seconds."""

    @property
    def endpoint(self) -> str:
        """The base URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def file_stem(name: str) -> str:
    """A model's name as a file's; differs for different names."""
    if not name:
        raise UsageError("A model's name is empty.")
    return SAFE.sub(lambda match: f"%{ord(match[0]):x}", name)


def write(path: Path, record: ServerRecord) -> None:
    """Write a record whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(dataclasses.asdict(record), indent=2) + "\n")
    draft.replace(path)


def read(path: Path) -> ServerRecord | None:
    """A record; None if there is none, or none that can be read."""
    try:
        return ServerRecord(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
