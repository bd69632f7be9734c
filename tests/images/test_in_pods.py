"""The images at work, in pods."""

from __future__ import annotations

import os
import tomllib
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from pyarrow.fs import S3FileSystem

from .conftest import ROOT
from .pods import Pods

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

# Read here, for tests are given nobody's environment.
POD_S3 = os.environ.get("HEADRACE_POD_S3", "http://s3.testbed:9000")

IMPORTS = {
    "python": ["mlflow.pyfunc", "sklearn.ensemble", "kfp.dsl", "uvicorn", "obstore", "kubernetes"],
    "spark": ["pyspark.sql", "pyarrow", "mlflow"],
    "serve": ["torch", "mlflow.pyfunc", "uvicorn"],
    "ray": ["ray.train.torch", "torch", "pyarrow"],
}


@pytest.fixture(scope="module")
def built(images):
    """The images' names, by their kinds."""
    return yaml.safe_load(images.read_text())["images"]


@pytest.fixture(scope="module")
def pods():
    programs = Path(__file__).parent / "programs"
    given = {path.name: path.read_text() for path in programs.glob("*.py")}
    made = Pods(f"t-images-{uuid.uuid4().hex[:6]}", given)
    yield made
    made.close()


@pytest.fixture
def bucket():
    """A bucket of the test's own, as the machine reaches the store."""
    name = f"t-images-{uuid.uuid4().hex[:6]}"
    store = S3FileSystem(
        endpoint_override=os.environ["AWS_ENDPOINT_URL"],
        region="us-east-1",
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
    )
    store.create_dir(name)
    yield name
    for _ in range(3):  # a store over folders refuses a folder whose files go in the same call
        with suppress(OSError):
            store.delete_dir_contents(name)
    store.delete_dir(name)


@pytest.mark.parametrize("kind", list(IMPORTS))
def test_an_image_is_what_it_says(built, pods, kind):
    if kind not in built:
        pytest.skip(f"there is no {kind} image")
    found = pods.run(
        kind, built[kind], "python", "/given/look_around.py", "headrace", *IMPORTS[kind]
    )
    print(found["imports"])
    installed, record = found.pop("installed"), found.pop("record")
    assert found.pop("imports").keys() == {"headrace", *IMPORTS[kind]}
    assert found == {
        "user": [65532, 65532, "headrace"],
        "home": ["/work", "/work", "/work"],
        "writable": {
            "/": "Read-only file system",
            "/opt": "Read-only file system",
            "/tmp": True,
            "/s3": True,
            "/work": True,
        },
        "python": "/opt/venv/bin/python",
        "installers": [],
        "shell": "sh",
        "login": "/opt/venv/bin/python",
        "command": "/opt/venv/bin/headrace",
        "uncompiled": {"headrace": 0, "kfp": 0, "mlflow": 0, "json": 0},
    }
    agrees_with_the_lock(kind, installed, record)


def agrees_with_the_lock(kind, installed, record):
    """Nothing but what the lock has is installed, and the record tells the truth about it."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    locked = {(one["name"], one["version"]) for one in lock["package"]}
    assert {(name.replace("_", "-"), version) for name, version in installed.items()} <= locked
    assert record.pop("image") == kind
    assert record.pop("python").startswith("3.12.")
    assert (record.pop("hadoop", None) is not None) == (kind == "spark")
    assert record.pop("java", "17").startswith("17")
    assert record == {name: installed[name] for name in record}


@pytest.mark.parametrize("committer", ["magic", "directory"])
def test_spark_reads_and_writes_s3(built, pods, bucket, committer):
    found = pods.run(
        f"s3-{committer}",
        built["spark"],
        *("python", "/given/spark_s3.py", committer, f"s3a://{bucket}/table"),
        AWS_ENDPOINT_URL=POD_S3,
        AWS_ACCESS_KEY_ID=os.environ["AWS_ACCESS_KEY_ID"],
        AWS_SECRET_ACCESS_KEY=os.environ["AWS_SECRET_ACCESS_KEY"],
    )
    assert found == {
        "rows": 7000,
        "parts": 7,
        "committer": committer,
        "moved": True,
    }
