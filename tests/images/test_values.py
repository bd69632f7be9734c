"""The file that tells a site of its images."""

from __future__ import annotations

import yaml
from building.planning import plan
from building.values import known, values

TEXT = """\
images:
  python: "registry.testbed/headrace/python:1"
  spark: "registry.testbed/headrace/spark:2"
versions:
  headrace: "0.1.0"
  python: "3.12"
  kfp: "2.17.0"
  mlflow: "3.17.2"
  spark: "4.3.0"
  hadoop: "3.5.0"
  ray: "2.60.0"
  torch: "2.15.0"
"""


def test_images_and_versions(sources):
    names = {
        "spark": "registry.testbed/headrace/spark:2",
        "python": "registry.testbed/headrace/python:1",
    }
    text = values(plan(sources), names)
    assert text == TEXT
    assert yaml.safe_load(text)["versions"]["python"] == "3.12"
    assert known(text) == names


def test_a_file_of_another_kind_names_nothing():
    assert known("") == {}
    assert known("versions:\n  python: '3.12'\n") == {}
