"""A name stands for one kind of model, which may be retrained but not replaced by another."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from headrace.registry.kinds import ModelKind, difference, parse_kind, read_kind
from headrace.registry.scores import Task

FLIGHTS = ModelKind(columns=("hour", "carrier", "origin", "distance"), task="binary")
IMAGES = ModelKind(shapes=((-1, 1, 8, 8),))


@pytest.mark.parametrize(
    "new",
    [
        FLIGHTS,
        ModelKind(
            columns=(*FLIGHTS.columns, "wind", "rain", "snow", "age", "seats"), task="binary"
        ),
        ModelKind(columns=("hour", "carrier", "wind", "rain")),
        ModelKind(task="binary"),
        ModelKind(),
    ],
)
def test_a_retrained_model_is_of_its_kind(new: ModelKind) -> None:
    assert difference(new, FLIGHTS) == ""
    assert difference(FLIGHTS, new) == ""


@pytest.mark.parametrize(
    ("new", "old", "how"),
    [
        (
            ModelKind(columns=FLIGHTS.columns, task="regression"),
            FLIGHTS,
            "its task is regression, and theirs is binary",
        ),
        (IMAGES, FLIGHTS, "it takes tensors, and they take columns"),
        (FLIGHTS, IMAGES, "it takes columns, and they take tensors"),
        (
            ModelKind(shapes=((-1, 64),)),
            IMAGES,
            "it takes tensors of shape [-1, 64], and they take [-1, 1, 8, 8]",
        ),
        (
            ModelKind(columns=("sepal", "petal", "hour"), task="binary"),
            FLIGHTS,
            "it takes 3 columns (sepal, petal, hour), of which they know 1 "
            "(they take hour, carrier, origin, ...)",
        ),
    ],
)
def test_another_kind_is_told_with_what_sets_it_apart(
    new: ModelKind, old: ModelKind, how: str
) -> None:
    assert difference(new, old) == how


def test_a_free_length_fits_any() -> None:
    assert difference(ModelKind(shapes=((32, 1, 8, 8),)), IMAGES) == ""


def test_a_kind_is_kept_as_text() -> None:
    for kind in (FLIGHTS, IMAGES, ModelKind()):
        assert parse_kind(kind.text) == kind


def test_a_kind_is_read_from_a_models_description(tmp_path: Path) -> None:
    inputs = '[{"type": "long", "name": "hour"}, {"type": "string", "name": "carrier"}]'
    (tmp_path / "MLmodel").write_text(yaml.safe_dump({"signature": {"inputs": inputs}}))
    assert read_kind(tmp_path, Task.BINARY) == ModelKind(columns=("hour", "carrier"), task="binary")
    inputs = '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 1, 8, 8]}}]'
    (tmp_path / "MLmodel").write_text(yaml.safe_dump({"signature": {"inputs": inputs}}))
    assert read_kind(tmp_path, None) == IMAGES
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    assert read_kind(tmp_path, None) == ModelKind()
