"""What each tool is told, word for word."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from building.failures import BuildProblem
from building.tools import Tool, find_tool

from .conftest import IMAGES

ARGUMENTS = {"BASE": "python:3.12-slim-bookworm", "TOOLS": "reg.io/acme/headrace/tools:libraries-0"}
LABELS = {"dev.headrace.image": "python"}
NAME = "reg.io/acme/headrace/python:0.1.0-0"
SAID = [
    "--build-arg=BASE=python:3.12-slim-bookworm",
    "--build-arg=TOOLS=reg.io/acme/headrace/tools:libraries-0",
    "--label=dev.headrace.image=python",
]
ONCE = ["--layers=false", "--force-rm", "--timestamp=315532800"]
LAST = ["--tag", NAME, "/context"]


@pytest.mark.parametrize(
    ("tool", "command"),
    [
        (
            Tool(name="docker"),
            ["docker", "build", "--build-arg=SOURCE_DATE_EPOCH=315532800", *SAID, *LAST],
        ),
        (
            Tool(name="docker", insecure=True, flags=["--network=host"]),
            [
                *("docker", "build", "--build-arg=SOURCE_DATE_EPOCH=315532800", *SAID),
                *("--network=host", *LAST),
            ],
        ),
        (
            Tool(name="podman"),
            ["podman", "build", *ONCE, *SAID, *LAST],
        ),
        (
            Tool(name="buildah", insecure=True, flags=["--network=host", "--isolation=chroot"]),
            [
                *("buildah", "build", *ONCE, "--pull=false", "--tls-verify=false", *SAID),
                *("--network=host", "--isolation=chroot", *LAST),
            ],
        ),
    ],
)
def test_build(tool, command):
    assert tool.build("/context", NAME, arguments=ARGUMENTS, labels=LABELS) == command


@pytest.mark.parametrize(
    ("name", "push", "holds"),
    [
        (
            "docker",
            ["docker", "push", NAME],
            ["docker", "image", "inspect", "--format", "{{.Id}}", NAME],
        ),
        (
            "podman",
            ["podman", "push", "--tls-verify=false", NAME],
            ["podman", "image", "exists", NAME],
        ),
        (
            "buildah",
            ["buildah", "push", "--tls-verify=false", NAME],
            ["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", NAME],
        ),
    ],
)
def test_the_rest(name, push, holds):
    tool = Tool(name=name, insecure=True)
    assert tool.push(NAME) == push
    assert tool.holds(NAME) == holds
    assert tool.remove([NAME, "other"]) == [name, "rmi", NAME, "other"]
    assert tool.size(NAME) == [name, "images", "--format", "{{.Size}}", NAME]


def test_a_tool_that_is_not_here(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(BuildProblem, match=r"^podman: not on this machine, or not at work\.\n"):
        find_tool("podman")
    with pytest.raises(BuildProblem, match=r"^docker, podman or buildah: not on this machine"):
        find_tool(None)


def build(*arguments):
    return subprocess.run(
        [sys.executable, IMAGES / "build.py", *arguments], capture_output=True, text=True
    )


def test_help_teaches():
    done = build("--help")
    assert done.returncode == 0
    assert "python -> spark" in done.stdout
    assert "python images/build.py --registry ghcr.io/acme --push" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--push"], "--push needs --registry"),
        (["--remove-local"], "--remove-local needs --push"),
        (["--only", "pyhton"], "invalid choice: 'pyhton'"),
    ],
)
def test_a_wrong_command_line_starts_nothing(arguments, message):
    done = build(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
