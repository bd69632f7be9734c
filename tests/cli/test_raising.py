"""`headrace up`: the commands that it calls, in order, and what it leaves alone.

kind needs Docker, which few machines that run these tests have: programs that write down how they
were called take the places of kind, minikube and Helm.
"""

import json
import sys
from pathlib import Path

import pytest

CHART = Path(__file__).parents[2] / "helm/headrace"
VALUES = "images:\n  python: headrace/python:1\n  ray: headrace/ray:1\n"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A checkout with programs on the PATH; gives what was called so far."""
    called = tmp_path / "called"
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in ("kind", "minikube", "helm"):
        program = bin_folder / name
        program.write_text(
            f"#!{sys.executable}\nimport os, sys\n"
            f"open({str(called)!r}, 'a').write(' '.join(['{name}', *sys.argv[1:]]) + '\\n')\n"
            f"print(os.environ.get('SAYS_{name.upper()}', ''))\n"
            f"sys.exit('{name}' + ' ' + sys.argv[1] == os.environ.get('FAILS'))\n"
        )
        program.chmod(0o755)
    (tmp_path / "images").mkdir()
    (tmp_path / "images/build.py").write_text(
        f"open('images/values.yaml', 'w').write({VALUES!r})\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(bin_folder))
    return lambda: called.read_text().splitlines() if called.exists() else []


INSTALLED = [
    "helm upgrade kuberay-operator kuberay-operator --install --repo "
    "https://ray-project.github.io/kuberay-helm/ --version 1.6.1 --kube-context {context} "
    "--namespace kuberay-system --create-namespace "
    "--set image.repository=quay.io/kuberay/operator --set image.tag=v1.6.1 --wait",
    f"helm upgrade headrace {CHART} --install --create-namespace --kube-context {{context}} "
    f"--namespace headrace --values {CHART}/values-kind.yaml --values images/values.yaml "
    "--wait --timeout 15m",
]


def test_from_nothing(headrace, programs):
    said = headrace("up")
    assert said.code == 0, said.err
    assert programs() == [
        "kind get clusters",
        "kind create cluster --name headrace --wait 5m",
        "kind load docker-image headrace/python:1 --name headrace",
        "kind load docker-image headrace/ray:1 --name headrace",
        *(one.format(context="kind-headrace") for one in INSTALLED),
    ]
    assert said.out.endswith(
        "headrace open pipelines --on kind-headrace -n headrace    # or mlflow, or ray\n"
    )


def test_a_cluster_that_is_there_stays(headrace, programs, monkeypatch):
    there = {"valid": [{"Name": "headrace"}]}
    monkeypatch.setenv("SAYS_MINIKUBE", json.dumps(there))
    assert headrace("up", "--tool", "minikube").code == 0
    assert programs() == [
        "minikube profile list --light --output json",
        "minikube --profile headrace image load headrace/python:1",
        "minikube --profile headrace image load headrace/ray:1",
        *(one.format(context="headrace") for one in INSTALLED),
    ]


def test_what_fails_is_said_and_nothing_follows(headrace, programs, monkeypatch):
    monkeypatch.setenv("FAILS", "kind create")
    said = headrace("up")
    assert said.code == 4
    assert said.err == (
        "error: kind has ended with exit code 1; what it said stands above.\n"
        "  try: `headrace up` goes on from there\n"
    )
    assert [one.split()[0] for one in programs()] == ["kind", "kind"]


def test_a_dry_run_changes_nothing(headrace, programs):
    said = headrace("up", "--dry-run")
    assert said.code == 0
    assert "$ kind create cluster --name headrace --wait 5m" in said.out
    assert programs() == ["kind get clusters"]


def test_outside_of_a_checkout(headrace, programs, tmp_path):
    (tmp_path / "images/build.py").unlink()
    said = headrace("up")
    assert said.code == 4
    assert said.err.startswith("error: There are no sources of the images here.\n")
    assert programs() == []  # no cluster is made for nothing
