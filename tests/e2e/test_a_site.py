"""The installed chart: MLflow can be used from outside and inside, and nothing is left over."""

import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from tests.e2e.running import MAIN

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def test_it_says_what_it_is(site):
    assert site.site.store.url == f"s3://{site.namespace}/site"
    assert site.site.store.secret == "headrace-store"
    assert site.site.mlflow.url == f"http://headrace-mlflow.{site.namespace}.svc:5000"
    assert site.left_over() == []


def test_an_object_is_found_by_its_run_until_it_is_gone(site):
    pod = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "something", "labels": {"headrace.dev/run": "one"}},
    }
    site.cluster.create(pod)
    assert site.of_run("one") == ["configmaps/something"]
    assert site.left_over() == ["configmaps/something"]
    site.cluster.delete("configmaps", "something")
    assert site.of_run("one") == site.left_over() == []


def test_its_pages_are_opened_from_here(site):
    opened = subprocess.Popen(
        [sys.executable, "-c", MAIN, "open", "mlflow", "--on", site.context, "-n", site.namespace],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # Where the tests run in the background, Ctrl-C is ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        url, _, told = opened.stdout.readline().partition("  ")
        assert told == "(Ctrl-C ends it)\n"
        with urllib.request.urlopen(f"{url}/version", timeout=20) as answer:
            assert answer.read().decode() == site.site.versions["mlflow"]
        opened.send_signal(signal.SIGINT)
        assert opened.wait(20) == 0
    finally:
        opened.kill()
