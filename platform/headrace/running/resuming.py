"""Finds the run that a new one would only repeat: begun here, its client gone, not ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.compiling.pipeline import Compiled
from headrace.sites.home import Home
from headrace.sites.journal import list_runs, read_events


def unfinished(
    home: Home, compiled: Compiled, arguments: Mapping[str, Any], site: Mapping[str, str]
) -> str | None:
    """The newest run of the same pipeline, code, arguments and site whose client is gone.

    Only the newest counts: whatever ran on the site since then has gone on from it.
    """
    runs = [one for one in list_runs(home) if one.pipeline == compiled.name]
    if not runs or not runs[-1].killed:
        return None
    start = next(one for one in read_events(runs[-1].folder) if one["type"] == "run_started")
    same = (
        start.get("site") == dict(site)
        and start["code_digest"] == compiled.code_digest
        and start["parameters"] == dict(arguments)
        and (runs[-1].folder / "pipeline.yaml").read_text() == compiled.text
    )
    return runs[-1].run_id if same else None
