"""Spark's Java: what is found where, what is turned down, and what the user is told."""

import pytest

from headrace.core.errors import EnvironmentProblem
from headrace.engines.java import Java, Rejected, find_java, inspect_home, survey, version_parts

MODULES = "java.base java.sql jdk.incubator.vector jdk.zipfs"


@pytest.fixture
def jdk(tmp_path):
    """Makes a folder that looks like a JDK."""

    def make(name, version, *, modules=MODULES, release=True):
        home = tmp_path / "jvm" / name
        (home / "bin").mkdir(parents=True)
        java = home / "bin" / "java"
        listed = "".join(f"echo {one}@{version}\n" for one in modules.split())
        java.write_text(f"#!/bin/sh\n{listed}")
        java.chmod(0o755)
        if release:
            text = f'JAVA_VERSION="{version}"\nMODULES="{modules}"\nOS_NAME="Linux"\n'
            (home / "release").write_text(text)
        return home

    return make


@pytest.fixture
def places(tmp_path):
    return (f"{tmp_path}/jvm/*",)


def test_java_home_comes_before_path_and_both_before_the_usual_places(jdk, places):
    chosen, on_path, lying = jdk("a", "21.0.4"), jdk("b", "17.0.15"), jdk("c", "25.0.3")
    environ = {"JAVA_HOME": str(chosen), "PATH": str(on_path / "bin")}
    found = survey(environ, places=places)
    assert [(java.home, java.version, java.found_by) for java in found.usable] == [
        (chosen, "21.0.4", "JAVA_HOME"),
        (on_path, "17.0.15", "PATH"),
        (lying, "25.0.3", str(lying.parent)),
    ]
    assert found.rejected == ()


def test_a_java_home_that_is_of_no_use_does_not_end_the_search(jdk, places):
    old, good = jdk("old", "11.0.2"), jdk("good", "17.0.15")
    found = survey({"JAVA_HOME": str(old), "PATH": ""}, places=places)
    assert [java.home for java in found.usable] == [good]
    assert [str(one) for one in found.rejected] == [
        f"JAVA_HOME: {old} is Java 11.0.2: too old for Spark 4, which needs 17, 21 or 25"
    ]


@pytest.mark.parametrize(
    ("version", "modules", "why"),
    [
        ("1.8.0_392", "", "is Java 1.8.0_392: too old for Spark 4, which needs 17, 21 or 25"),
        ("19.0.1", MODULES, "is Java 19.0.1, which nobody maintains any more: take 17, 21 or 25"),
        (
            "17.0.15",
            "java.base java.sql",
            "is Java 17.0.15 without the module jdk.incubator.vector: take a whole JDK",
        ),
    ],
)
def test_what_spark_cannot_run_on_is_turned_down(jdk, version, modules, why):
    home = jdk("a", version, modules=modules)
    assert inspect_home(home, "PATH") == Rejected(home=home, found_by="PATH", why=why)


def test_folders_without_a_java_are_turned_down(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").write_text("not to be run")
    assert str(inspect_home(tmp_path, "PATH")).endswith("has no bin/java that can be run")
    assert str(inspect_home(tmp_path / "no", "JAVA_HOME")).endswith("does not exist")


def test_without_a_release_file_the_java_itself_is_asked(jdk):
    home = jdk("a", "21.0.4", release=False)
    assert inspect_home(home, "PATH") == Java(home=home, version="21.0.4", found_by="PATH")


def test_versions_that_sparks_documentation_does_not_name_come_last_and_with_a_caution(jdk, places):
    jdk("a", "26"), jdk("b", "25.0.1"), jdk("c", "25.0.3"), jdk("d", "17.0.15")
    found = survey({"PATH": ""}, places=places)
    assert [(java.version, java.caution) for java in found.usable] == [
        ("17.0.15", ""),
        ("25.0.3", ""),
        ("25.0.1", "Spark 4.3 wants 25.0.3 or newer of Java 25"),
        ("26", "Spark 4.3 is documented for Java 17, 21 and 25 only"),
    ]


def test_a_link_to_a_java_counts_once(jdk, places):
    home = jdk("java-17", "17.0.15")
    (home.parent / "default").symlink_to(home)
    found = survey({"PATH": str(home / "bin")}, places=places)
    assert [(java.home, java.found_by) for java in found.usable] == [(home, "PATH")]


def test_without_any_the_error_names_every_place_and_a_remedy(jdk, places):
    old = jdk("old", "11.0.2")
    with pytest.raises(EnvironmentProblem) as caught:
        find_java({"JAVA_HOME": "/nowhere", "PATH": ""}, places=places)
    assert caught.value.what == (
        "Spark needs Java 17, 21 or 25 and there is none on this machine that it can use."
    )
    assert caught.value.where == (
        "JAVA_HOME: /nowhere does not exist",
        f"{old.parent}: {old} is Java 11.0.2: too old for Spark 4, which needs 17, 21 or 25",
    )
    assert "JAVA_HOME" in caught.value.hint


def test_versions_are_compared_by_their_numbers():
    assert version_parts("17.0.15") == (17, 0, 15)
    assert version_parts("1.8.0_392") == (8, 0, 392)
    assert version_parts("26-ea") == (26,)
