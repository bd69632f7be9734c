"""The ready components: evaluate, register, promote, serve.

Each is called in a pipeline like any other step. None is ever reused: they
ask or change the registry and the server, which nobody's fingerprint covers. They are safe
to run again all the same: the same model becomes the same version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.authoring.components import IMAGES
from headrace.authoring.steps import Defaults, Step, make_step, step_of
from headrace.registry import steps as registry
from headrace.serving import steps as serving


def _ready(function: Callable[..., Any], image: str | None = None) -> Step:
    defaults = Defaults(cache=False, image=image)
    return make_step(function, {"kind": "python"}, defaults, step_of(function))


# A model's own libraries load it: the plain image has no torch.
evaluate = _ready(registry.evaluate, IMAGES["serve"])
register = _ready(registry.register)
promote = _ready(registry.promote)
serve = _ready(serving.serve)
