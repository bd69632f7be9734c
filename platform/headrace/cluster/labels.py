"""The labels that everything of a run carries, and selectors over them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

PREFIX = "headrace.dev/"
RUN = f"{PREFIX}run"
STEP = f"{PREFIX}step"
ATTEMPT = f"{PREFIX}attempt"
PIPELINE = f"{PREFIX}pipeline"
CODE = f"{PREFIX}code"
ROLE = f"{PREFIX}role"
MODEL = f"{PREFIX}model"
STEP_PATH = f"{PREFIX}step-path"
"""An annotation: the step's whole path, which a label has no room for."""
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED = {MANAGED_BY: "headrace"}
QUEUE = "kueue.x-k8s.io/queue-name"
_LONGEST = 63


def value(text: str) -> str:
    """`text` as a label's value: at most 63 letters, digits, `-`, `_` and `.`.

    What had to be cut or changed gets a digest, so that two texts never share a value.
    """
    clean = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-_.")
    if clean == text and len(clean) <= _LONGEST:
        return clean
    return f"{clean[: _LONGEST - 9].rstrip('-_.')}-{_digest(text)}".lstrip("-")


def name(*parts: str, longest: int = 52) -> str:
    """Parts joined into an object's name: lower case, a DNS label of at most `longest` letters."""
    text = "-".join(parts)
    clean = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
    clean = clean if clean[:1].isalpha() else f"h-{clean}"
    if clean == text and len(clean) <= longest:
        return clean
    return f"{clean[: longest - 9].rstrip('-')}-{_digest(text)}"


def of_step(
    *, run: str, step: str, pipeline: str, code: str, role: str, queue: str = ""
) -> dict[str, str]:
    """The labels of an object that belongs to a step.

    Args:
        run: The run's id.
        step: The step's path.
        pipeline: The pipeline's name.
        code: The code's digest, `sha256:…`.
        role: What the object is to the step: `step`, `spark-executor`, `ray-head`, …
        queue: The Kueue queue that admits it, if the site has one.
    """
    labels = {
        **MANAGED,
        RUN: value(run),
        STEP: value(step),
        PIPELINE: value(pipeline),
        CODE: code.removeprefix("sha256:")[:12],
        ROLE: role,
    }
    kept = {key: one for key, one in labels.items() if one}
    return kept | ({QUEUE: queue} if queue else {})


def selector(labels: Mapping[str, str]) -> str:
    """A label selector that asks for all of `labels`."""
    return ",".join(f"{key}={one}" for key, one in sorted(labels.items()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
