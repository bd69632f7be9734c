"""What kind of model a folder holds, so that one name never stands for two kinds.

A model may be retrained, gain features or change its library and stay of its kind. It is of
another kind when it takes a different sort of input or predicts a different sort of thing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headrace.registry.scores import Task


@dataclass(frozen=True, kw_only=True)
class ModelKind:
    """What a model takes and what it predicts, as far as it says."""

    columns: tuple[str, ...] = ()
    """The named columns that it takes."""
    shapes: tuple[tuple[int, ...], ...] = ()
    """The shapes of the tensors that it takes, -1 where a length is free."""
    task: str = ""
    """What it predicts, as its evaluation says; empty when it was not evaluated."""

    @property
    def text(self) -> str:
        """As JSON, to be kept with a version."""
        return json.dumps({"columns": self.columns, "shapes": self.shapes, "task": self.task})


def read_kind(folder: Path, task: Task | None) -> ModelKind:
    """The kind of the model in `folder`.

    Args:
        folder: A model in MLflow's format.
        task: What it predicts, where that is known.
    """
    description = yaml.safe_load((folder / "MLmodel").read_text())
    signature = (description or {}).get("signature") or {}
    inputs: list[Mapping[str, Any]] = json.loads(signature.get("inputs") or "[]")
    tensors = [one["tensor-spec"] for one in inputs if one.get("type") == "tensor"]
    return ModelKind(
        columns=tuple(str(one["name"]) for one in inputs if "name" in one),
        shapes=tuple(tuple(int(length) for length in one["shape"]) for one in tensors),
        task=task or "",
    )


def parse_kind(text: str) -> ModelKind:
    """The kind that `ModelKind.text` wrote."""
    found = json.loads(text)
    return ModelKind(
        columns=tuple(found["columns"]),
        shapes=tuple(tuple(shape) for shape in found["shapes"]),
        task=found["task"],
    )


def difference(new: ModelKind, old: ModelKind) -> str:
    """How `new` is of another kind than `old`: "it predicts ..., and they ..."; else empty."""
    if new.task and old.task and new.task != old.task:
        return f"its task is {new.task}, and theirs is {old.task}"
    if bool(new.shapes) != bool(old.shapes) and _signed(new) and _signed(old):
        kinds = ("tensors", "columns") if new.shapes else ("columns", "tensors")
        return f"it takes {kinds[0]}, and they take {kinds[1]}"
    if new.shapes and old.shapes and not _fits(new.shapes, old.shapes):
        return f"it takes tensors of shape {_shapes(new)}, and they take {_shapes(old)}"
    if new.columns and old.columns:
        shared = set(new.columns) & set(old.columns)
        least = min(len(new.columns), len(old.columns))
        if len(shared) * 2 < least:
            return (
                f"it takes {len(new.columns)} columns ({_few(new.columns)}), of which they know "
                f"{len(shared)} (they take {_few(old.columns)})"
            )
    return ""


def _signed(kind: ModelKind) -> bool:
    return bool(kind.columns or kind.shapes)


def _fits(new: tuple[tuple[int, ...], ...], old: tuple[tuple[int, ...], ...]) -> bool:
    return len(new) == len(old) and all(
        len(a) == len(b) and all(x == y or -1 in (x, y) for x, y in zip(a, b, strict=True))
        for a, b in zip(new, old, strict=True)
    )


def _shapes(kind: ModelKind) -> str:
    return ", ".join(str(list(shape)) for shape in kind.shapes)


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
