"""Headrace: ordinary functions become pipelines that run the same on a laptop and a cluster."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.authoring.ready import evaluate, promote, register, serve
    from headrace.authoring.steps import ray, spark, step

__all__ = ["evaluate", "promote", "ray", "register", "serve", "spark", "step"]

_READY = ("evaluate", "promote", "register", "serve")


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that the command line starts without KFP's SDK.
    if name in __all__:
        room = "ready" if name in _READY else "steps"
        return getattr(import_module(f"headrace.authoring.{room}"), name)
    raise AttributeError(f"module 'headrace' has no attribute {name!r}")
