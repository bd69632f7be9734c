"""`headrace install`: the command that Helm gets, and what is said where that cannot be."""

import itertools
from pathlib import Path

import pytest

from headrace.cli import installing
from headrace.cli.installing import Wanted, find_chart, helm_command
from headrace.cluster.errors import NotThere
from headrace.core.errors import EnvironmentProblem

CHART = Path(__file__).parents[2] / "helm/headrace"


@pytest.fixture
def helm(tmp_path, monkeypatch):
    """A PATH with a Helm on it, and a folder without values."""
    program = tmp_path / "bin/helm"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.chdir(tmp_path)


def test_the_whole_command(helm):
    wanted = Wanted(
        context="kind-kind", namespace="ml", profile="kind", values=("a.yaml", "b.yaml"),
        settings=("limits.pending=300",), timeout="5m", dry_run=True,
    )  # fmt: skip
    assert helm_command(wanted) == [
        "helm", "upgrade", "headrace", str(CHART), "--install", "--create-namespace",
        "--kube-context", "kind-kind", "--namespace", "ml",
        "--values", str(CHART / "values-kind.yaml"), "--values", "a.yaml", "--values", "b.yaml",
        "--set", "limits.pending=300", "--wait", "--timeout", "5m", "--dry-run=server",
    ]  # fmt: skip


def test_the_images_that_were_built_here_are_taken(helm, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/values.yaml").write_text("images: {}\n")
    command = helm_command(Wanted(context="c", namespace="n", chart="elsewhere"))
    assert command[3] == "elsewhere"
    assert command[command.index("--values") + 1] == "images/values.yaml"
    command = helm_command(Wanted(context="c", namespace="n", values=("ours.yaml",)))
    given = [one for before, one in itertools.pairwise(command) if before == "--values"]
    assert given == ["images/values.yaml", "ours.yaml"]


def test_without_helm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="helm is not on the PATH"):
        helm_command(Wanted(context="c", namespace="n"))


def test_a_package_without_its_chart(tmp_path, monkeypatch):
    monkeypatch.setattr(installing, "_PACKAGE", tmp_path / "headrace")
    monkeypatch.setattr(installing, "_CHECKOUT", tmp_path)
    with pytest.raises(EnvironmentProblem) as caught:
        find_chart()
    assert caught.value.where == (
        str(tmp_path / "headrace/chart"), str(tmp_path / "helm/headrace"),
    )  # fmt: skip
    (tmp_path / "headrace/chart").mkdir(parents=True)
    (tmp_path / "headrace/chart/Chart.yaml").write_text("")
    assert find_chart() == tmp_path / "headrace/chart"


def test_without_a_kubeconfig(headrace, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    said = headrace("install", "--on", "nowhere")
    assert said.code == 4
    assert said.err.startswith("error: There is no usable kubeconfig:")


class Answers:
    """A cluster that serves KubeRay's kinds, or not."""

    context, where = "kind-kind", "context kind-kind, namespace ml"

    def __init__(self, *, there):
        self.there = there

    def ask(self, path):
        assert path == "/apis/ray.io/v1"
        if not self.there:
            raise NotThere("No such path.")


def test_kuberay_comes_from_its_own_repository_where_there_is_none(capsys):
    installing._bring_kuberay(Answers(there=False), dry_run=True)
    said = capsys.readouterr().out
    assert said == (
        "$ helm upgrade kuberay-operator kuberay-operator --install --repo "
        "https://ray-project.github.io/kuberay-helm/ --version 1.6.1 --kube-context kind-kind "
        "--namespace kuberay-system --create-namespace "
        "--set image.repository=quay.io/kuberay/operator --set image.tag=v1.6.1 --wait\n"
    )
    installing._bring_kuberay(Answers(there=True), dry_run=True)
    assert tuple(capsys.readouterr()) == ("", "KubeRay is there already\n")
