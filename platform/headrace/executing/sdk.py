"""KFP's SDK, whole but for its client.

`import kfp` alone loads the Kubernetes client and KFP's API client, more than half of its
import time, and nothing here calls a server. KFP leaves them out where it believes to run
inside a step, but then it leaves out `dsl.pipeline` and `dsl.component` as well, which a
user's module may use beside its steps. This loads the latter without the former, whichever
way KFP was imported before; `kfp.Client` still works, on first use.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_RUNTIME = "_KFP_RUNTIME"


@contextmanager
def _runtime(value: str | None) -> Iterator[None]:
    before = os.environ.pop(_RUNTIME, None)
    if value is not None:
        os.environ[_RUNTIME] = value
    try:
        yield
    finally:
        os.environ.pop(_RUNTIME, None)
        if before is not None:
            os.environ[_RUNTIME] = before


def _late(name: str) -> Any:
    if name == "Client":
        return importlib.import_module("kfp.client").Client
    raise AttributeError(f"module 'kfp' has no attribute {name!r}")


def _load() -> Any:
    new = "kfp" not in sys.modules
    with _runtime("true"):
        kfp: Any = importlib.import_module("kfp")
    with _runtime(None):
        dsl = importlib.import_module("kfp.dsl")
        if not hasattr(dsl, "pipeline"):
            importlib.reload(dsl)
        importlib.import_module("kfp.components")
    if new:
        kfp.__getattr__ = _late
    return kfp


kfp = _load()
dsl: Any = importlib.import_module("kfp.dsl")
PythonComponent: Any = importlib.import_module("kfp.dsl.python_component").PythonComponent
