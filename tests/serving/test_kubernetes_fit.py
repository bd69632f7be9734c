"""Which image can serve a version, and what keeps one from it."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.core.errors import EnvironmentProblem
from headrace.registry.needs import Needs, Servable, read_needs
from headrace.registry.signatures import Kind, Signature
from headrace.serving.fitting import Fit, fit
from headrace.sites.cluster import Site, parse

VERSIONS = {"python": "3.12", "torch": "2.15.0", "mlflow": "3.17.2", "scikit-learn": "1.9.1"}


def site(**changed: Any) -> Site:
    images = {"python": "registry/python:1", "serve": "registry/serve:1"}
    told = {"store": {"url": "s3://b/site"}, "images": images, "versions": VERSIONS}
    return parse(told | changed, where="here")


def version(**needs: Any) -> Servable:
    told: dict[str, Any] = {"python": "3.12.1", "packages": {}, "from_code": False, "torch": False}
    return Servable(
        name="flights",
        version=2,
        digest="",
        code="",
        needs=Needs(**(told | needs)),
        signature=Signature(kind=Kind.UNSIGNED),
        example=None,
    )


def test_the_small_image_serves_what_needs_no_torch() -> None:
    found = fit(version(packages={"scikit-learn": "1.9.0", "mlflow": "3.17.0"}), site())
    assert found == Fit(kind="python", image="registry/python:1", notes=())


def test_the_big_one_serves_what_does_and_small_differences_are_noted() -> None:
    found = fit(version(torch=True, packages={"torch": "2.14.1", "mlflow": "3.18.0"}), site())
    assert found == Fit(
        kind="serve",
        image="registry/serve:1",
        notes=(
            "saved with torch 2.14.1, which is 2.15.0 there",
            "saved with mlflow 3.18.0, which is 3.17.2 there",
        ),
    )


def test_pickles_of_another_python_or_library_are_refused_by_name() -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        fit(version(python="3.13.2", packages={"scikit-learn": "0.24.1", "scipy": "9.9"}), site())
    assert str(caught.value) == (
        "models:/flights/2 cannot be opened in the site's image: saved with python 3.13.2, which "
        "is 3.12 there; saved with scikit-learn 0.24.1, which is 1.9.1 there.\n"
        "  at: registry/python:1\n"
        "  at: ConfigMap headrace-site\n"
        "  try: train it on the site, or with the versions that the site's images hold"
    )


def test_a_model_from_code_may_come_from_another_python() -> None:
    found = fit(version(python="3.13.2", from_code=True), site())
    assert found.notes == ("saved with python 3.13.2, which is 3.12 there",)


def test_an_image_that_the_site_does_not_name_is_named() -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        fit(version(torch=True), site(images={"python": "registry/python:1"}))
    assert caught.value.what == ("The site names no image 'serve', which models:/flights/2 needs.")


def test_needs_are_read_from_a_models_own_files() -> None:
    told = {
        "flavors": {
            "python_function": {"python_version": "3.12.1", "model_code_path": "model.py"},
        }
    }
    text = "mlflow==3.17.2\nTorch==2.15.0+cpu ; python_version>'3'\nray[train]==2.60.0\nscipy\n\n"
    assert read_needs(told, text) == Needs(
        python="3.12.1",
        packages={"mlflow": "3.17.2", "torch": "2.15.0+cpu", "ray": "2.60.0", "scipy": ""},
        from_code=True,
        torch=True,
    )


@pytest.mark.parametrize(
    ("flavor", "needed"),
    [
        ({"sklearn": {"serialization_format": "skops", "skops_trusted_types": None}}, False),
        ({"sklearn": {"serialization_format": "skops", "skops_trusted_types": ["x.Net"]}}, True),
        ({"sklearn": {"serialization_format": "cloudpickle"}}, True),
        ({"pytorch": {}}, True),
        ({}, True),
    ],
)
def test_torch_is_needed_unless_only_scikit_learns_own_types_are_opened(
    flavor: dict[str, Any], needed: bool
) -> None:
    told = {"flavors": {"python_function": {}, **flavor}}
    assert read_needs(told, "torch==2.15.0").torch is needed
    assert read_needs(told, "").torch is ("pytorch" in flavor)
