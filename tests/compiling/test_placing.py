"""A site's images stand where the pipeline named Headrace's own, and nothing else changes."""

import json
from pathlib import Path

import pytest
import yaml

from headrace.compiling.pipeline import read_compiled
from headrace.compiling.placing import for_site
from headrace.core.errors import EnvironmentProblem

SMALL = Path(__file__).parents[1] / "golden" / "small.yaml"
IMAGES = {
    "python": "registry.example:5000/headrace/python:0.1",
    "spark": "registry.example:5000/headrace/spark@sha256:aa",
    "ray": "registry.example:5000/headrace/ray:0.1",
    "serve": "registry.example:5000/headrace/serve:0.1",
}

PIPELINE = """\
# a comment stays
components: {}
deploymentSpec:
  executors:
    exec-ours:
      container:
        args: [headrace/python, "image: headrace/python"]
        command:
        - |
          image: headrace/python
          and a line break of YAML's own:\x85          before more
        image: headrace/python
    exec-quoted: {"container": {"image": "headrace/ray"}}
    exec-theirs:
      container:
        image: python:3.12   # a comment stays here, too
    exec-tagged:
      container:
        image: headrace/python:mine
    exec-importer:
      importer: {artifactUri: {constant: headrace/python}}
pipelineInfo: {name: images}
root: {dag: {tasks: {}}}
---
platforms:
  kubernetes:
    deploymentSpec: {executors: {exec-ours: {image: headrace/python}}}
"""


def placed(tmp_path, text, images=IMAGES):
    path = tmp_path / "pipeline.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    return for_site(read_compiled(path), images)


def test_only_the_images_of_executors_are_changed(tmp_path):
    expected = PIPELINE.replace(
        "        image: headrace/python\n    exec-quoted",
        '        image: "registry.example:5000/headrace/python:0.1"\n    exec-quoted',
    ).replace('"image": "headrace/ray"', '"image": "registry.example:5000/headrace/ray:0.1"')
    assert placed(tmp_path, PIPELINE) == expected


def test_a_real_pipeline_means_what_it_meant(tmp_path):
    """What is placed differs from the original in the images alone, in a file of the same size."""
    before = SMALL.read_text()
    after = placed(tmp_path, before)
    changed = {
        (old.strip(), new.strip())
        for old, new in zip(before.splitlines(), after.splitlines(), strict=True)
        if old != new
    }
    assert changed == {
        (f"image: headrace/{kind}", f'image: "{image}"') for kind, image in IMAGES.items()
    }
    whole = [json.dumps(one) for one in yaml.safe_load_all(before)]
    for kind, image in IMAGES.items():
        whole = [one.replace(f'"headrace/{kind}"', json.dumps(image)) for one in whole]
    assert [json.dumps(one) for one in yaml.safe_load_all(after)] == whole


def test_a_json_file_stays_json(tmp_path):
    ir = {
        "pipelineInfo": {"name": "images"},
        "deploymentSpec": {"executors": {"exec-a": {"container": {"image": "headrace/python"}}}},
        "root": {},
    }
    found = json.loads(placed(tmp_path, json.dumps(ir)))
    ir["deploymentSpec"]["executors"]["exec-a"]["container"]["image"] = IMAGES["python"]
    assert found == ir


def test_a_site_without_the_image_is_named(tmp_path):
    with pytest.raises(EnvironmentProblem) as raised:
        placed(tmp_path, PIPELINE, {"python": IMAGES["python"], "spark": IMAGES["spark"]})
    assert str(raised.value) == (
        "The site has no image for ray steps.\n"
        "  at: pipeline images, image headrace/ray\n"
        "  try: the site has: python, spark; set the others in the chart's values under `images`"
    )
