"""Plots and reports are shown beside a run; data and models are not copied there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.registry.attachments import LARGEST_BYTES, Attachment, attachments, local_path

PNG = b"\x89PNG\r\n\x1a\n rest"


def shown(kind: str, path: Path | str, name: str = "plot", **metadata: object) -> list[Attachment]:
    return list(attachments(name, {"type": kind, "uri": str(path), "metadata": metadata}))


@pytest.mark.parametrize(
    ("kind", "content", "ending"),
    [
        ("system.HTML", b"<p>", ".html"),
        ("system.HTML@0.0.1", b"<p>", ".html"),
        ("system.Markdown", b"# a", ".md"),
        ("system.Artifact", PNG, ".png"),
        ("system.Artifact", b"\xff\xd8\xff\xe0", ".jpg"),
        ("system.Artifact", b'<svg xmlns="x">', ".svg"),
    ],
)
def test_what_pages_can_show_gets_its_ending(
    tmp_path: Path, kind: str, content: bytes, ending: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert shown(kind, file) == [Attachment(name=f"plot{ending}", path=file, content=b"")]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("system.Artifact", b"any bytes"),
        ("system.Artifact", b"<?xml version='1.0'?><data/>"),
        ("system.Model", PNG),
        ("system.Dataset", PNG),
        ("system.HTML", b"x" * (LARGEST_BYTES + 1)),
    ],
)
def test_all_else_stays_where_it_is(tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert shown(kind, tmp_path / "file") == []


def test_a_folder_of_plots_is_shown_image_by_image(tmp_path: Path) -> None:
    for name, content in (("a.png", PNG), ("b.csv", b"1,2"), ("c", PNG)):
        (tmp_path / name).write_bytes(content)
    found = [one.name for one in shown("system.Artifact", tmp_path, "plots")]
    assert found == ["plots/a.png", "plots/c.png"]


@pytest.mark.parametrize("uri", ["/is/not/there", "s3://bucket/plot", ""])
def test_what_is_not_at_hand_is_passed_over(uri: str) -> None:
    assert shown("system.HTML", uri) == []


def test_classification_metrics_are_shown_as_a_plot_and_as_data() -> None:
    metadata = {
        "confidenceMetrics": [
            {"confidenceThreshold": 0.5, "recall": 0.8, "falsePositiveRate": 0.1},
            {"confidenceThreshold": 1.0, "recall": 0.0, "falsePositiveRate": 0.0},
        ],
        "confusionMatrix": {
            "annotationSpecs": [{"displayName": "yes"}, {"displayName": "no"}],
            "rows": [{"row": [8, 2]}, {"row": [1, 9]}],
        },
    }
    data, plot = shown("system.ClassificationMetrics", "", "quality", **metadata)
    assert (data.name, json.loads(data.content)) == ("quality.json", metadata)
    assert plot.name == "quality.png"
    assert plot.content.startswith(PNG[:8])


def test_empty_classification_metrics_show_nothing() -> None:
    assert shown("system.ClassificationMetrics", "") == []


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/a/b c", Path("/a/b c")),
        ("file:///a/b%20c", Path("/a/b c")),
        ("s3://a/b", None),
        ("", None),
    ],
)
def test_uris_of_this_machine_are_paths(uri: str, path: Path | None) -> None:
    assert local_path(uri) == path
