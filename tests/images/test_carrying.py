"""Builds with the machine's own tool and a registry of plain HTTP that HEADRACE_REGISTRY names."""

from __future__ import annotations

import os
import shlex
import uuid

import pytest
from building.carrying import Carrier
from building.failures import BuildProblem
from building.planning import Planned
from building.registry import Registry
from building.stages import Stage
from building.tools import Tool, find_tool

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

# Read here, for tests are given nobody's environment.
REGISTRY = os.environ.get("HEADRACE_REGISTRY", "")
FLAGS = shlex.split(os.environ.get("HEADRACE_BUILD_FLAGS", ""))


@pytest.fixture
def carrier():
    if not REGISTRY:
        pytest.skip("HEADRACE_REGISTRY names no registry")
    made = new_carrier()
    yield made
    made.remove_made()


def new_carrier():
    tool = Tool(name=find_tool(None), insecure=True, flags=FLAGS)
    return Carrier(tool=tool, registry=Registry(prefix=REGISTRY, insecure=True))


@pytest.fixture
def planned():
    """An image of a few bytes that nobody has built before."""
    name = f"t-images/{uuid.uuid4().hex[:8]}"
    libraries = Stage(
        repository=name,
        kind="libraries",
        base="scratch",
        files={"Dockerfile": b"ARG BASE\nFROM ${BASE}\nCOPY given /\n", "given": b"libraries"},
    )
    return Planned(name="python", libraries=libraries, whole=whole(libraries, b"1"), versions={})


def whole(libraries, given):
    return Stage(
        repository=libraries.repository,
        kind="0.1.0",
        base="scratch",
        files={"Dockerfile": b"ARG LIBRARIES\nFROM ${LIBRARIES}\nCOPY it /\n", "it": given},
        parents={"LIBRARIES": libraries},
        labels={"a": "b"},
    )


def commands(printed):
    """What was done, without names and times."""
    return [line.split()[0] for line in printed.splitlines() if line.endswith("...")]


def test_what_is_missing_is_built_and_only_that(carrier, planned, capsys):
    first = carrier.image(planned)
    assert commands(capsys.readouterr().out) == ["building", "pushing", "building", "pushing"]
    assert (first.built, carrier.present(planned.libraries)) == (True, True)
    assert first.pushed == carrier.pushed(planned.whole) > 0
    assert new_carrier().image(planned).built is False

    edited = Planned(
        name="python",
        libraries=planned.libraries,
        whole=whole(planned.libraries, b"2"),
        versions={},
    )
    capsys.readouterr()
    assert carrier.image(edited).built is True
    assert commands(capsys.readouterr().out) == ["building", "pushing"]


def test_libraries_come_from_the_registry_where_this_machine_has_none(carrier, planned, capsys):
    carrier.image(planned)
    carrier.remove_made()
    carrier.made.clear()
    assert not carrier.here(planned.libraries)
    edited = Planned(
        name="python",
        libraries=planned.libraries,
        whole=whole(planned.libraries, b"3"),
        versions={},
    )
    capsys.readouterr()
    assert carrier.image(edited).built is True
    assert commands(capsys.readouterr().out) == ["building", "pushing"]


def test_the_same_stage_twice_is_the_same_image(carrier, planned):
    carrier.image(planned)
    before = manifest(planned.whole)
    carrier.remove_made()
    carrier.made.clear()
    carrier.force = True
    carrier.image(planned)
    assert manifest(planned.whole) == before


def manifest(stage):
    return Registry(prefix=REGISTRY, insecure=True)._manifest(stage.repository, stage.tag)["layers"]


def test_a_build_that_fails_shows_why(carrier, planned):
    broken = Stage(
        repository=planned.libraries.repository,
        kind="libraries",
        base="scratch",
        files={"Dockerfile": b"ARG BASE\nFROM ${BASE}\nCOPY absent /\n"},
    )
    with pytest.raises(BuildProblem, match="absent"):
        carrier.stage(broken)
