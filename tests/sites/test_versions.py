"""Versions that must agree, and what is said of those that do not."""

import sys
from importlib.metadata import version

import pytest

from headrace.core.errors import EnvironmentProblem
from headrace.sites.cluster import Site, StoreSettings
from headrace.sites.versions import Mismatch, check, mine, require

HERE = {
    "python": "3.12", "headrace": "0.1.0", "kfp": "2.17.0", "mlflow": "3.17.2", "spark": "4.3.0",
    "hadoop": "3.5.0", "ray": "2.60.0",
}  # fmt: skip


def test_what_is_here_is_what_is_installed():
    found = mine()
    assert found["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert found["headrace"] == version("headrace")
    assert found["spark"] == version("pyspark")
    assert found["hadoop"].startswith("3.")


def test_patches_get_along_but_not_headraces_own():
    patched = HERE | {"kfp": "2.17.9", "ray": "2.60.3", "mlflow": "3.17.0", "spark": "4.3.1+cloud"}
    assert check(patched, HERE) == []
    assert check(HERE | {"headrace": "0.1.1"}, HERE) == [
        Mismatch(what="headrace", theirs="0.1.1", mine="0.1.0")
    ]


def test_an_engine_that_does_not_run_does_not_matter():
    other = HERE | {"spark": "4.2.0", "hadoop": "3.4.1", "ray": "2.59.0"}
    assert check(other, HERE, ["python"]) == []
    assert [one.what for one in check(other, HERE, ["python", "ray"])] == ["ray"]
    assert [one.what for one in check(other, HERE, ["spark"])] == ["spark", "hadoop"]
    assert [one.what for one in check(other, HERE)] == ["spark", "ray", "hadoop"]


def test_what_one_side_does_not_tell_is_not_compared():
    assert check({}, HERE) == check(HERE, {}) == []
    assert check({"torch": "1.0"}, HERE | {"torch": "2.15.0"}) == []


def test_a_refusal_names_both_versions_and_a_remedy():
    site = Site(
        store=StoreSettings(url="s3://b/p"), versions={"headrace": "0.0.9", "kfp": "2.16.0"}
    )
    with pytest.raises(EnvironmentProblem) as raised:
        require(site, ["python"], where="context kind, namespace team")
    assert raised.value.what == (
        f"The site does not fit this installation: headrace is 0.0.9 in the site's images and "
        f"{version('headrace')} here; kfp is 2.16.0 in the site's images and {version('kfp')} here."
    )
    assert raised.value.where == ("context kind, namespace team",)
    assert "build the images from this version" in raised.value.hint


def test_another_python_has_a_remedy_of_its_own():
    site = Site(store=StoreSettings(url="s3://b/p"), versions={"python": "3.1"})
    with pytest.raises(EnvironmentProblem) as raised:
        require(site, [], where="here")
    assert raised.value.hint.startswith("uv sync --python 3.1, or ")


def test_a_site_that_fits_is_let_pass():
    require(Site(store=StoreSettings(url="s3://b/p"), versions=mine()), ["spark"], where="here")
