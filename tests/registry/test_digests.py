"""A model's digest is that of what it is, not of when it was saved."""

from __future__ import annotations

from pathlib import Path

from headrace.registry.digests import model_digest


def model(
    folder: Path, *, time: str = "now", flavor: str = "sklearn", weights: bytes = b"1"
) -> str:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text(
        f"flavors: {flavor}\nutc_time_created: {time}\nmodel_uuid: id-{time}\nrun_id: {time}\n"
    )
    (folder / "data" / "weights").write_bytes(weights)
    return model_digest(folder)


def test_the_same_model_saved_later_and_elsewhere_has_the_same_digest(tmp_path: Path) -> None:
    assert model(tmp_path / "a", time="1") == model(tmp_path / "b", time="2")


def test_other_weights_flavor_or_file_name_have_another_digest(tmp_path: Path) -> None:
    renamed = tmp_path / "d"
    model(renamed)
    (renamed / "data" / "weights").rename(renamed / "data" / "w")
    digests = {
        model(tmp_path / "a"),
        model(tmp_path / "b", weights=b"2"),
        model(tmp_path / "c", flavor="torch"),
        model_digest(renamed),
    }
    assert len(digests) == 4
