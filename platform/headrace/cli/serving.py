"""Asks a model server whether it is there."""

from __future__ import annotations

import urllib.error
import urllib.request

_PATIENCE_SECONDS = 2.0


def answers(endpoint: str) -> bool:
    """Whether the server says that it is ready."""
    try:
        with urllib.request.urlopen(f"{endpoint}/v2/health/ready", timeout=_PATIENCE_SECONDS):
            return True
    except (urllib.error.URLError, OSError):
        return False
