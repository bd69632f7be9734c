"""`headrace doctor`: what it calls wrong, and the remedy beside it."""

import json
import sqlite3
import sys
from importlib.metadata import PackageNotFoundError

import pytest
from packaging.requirements import Requirement

from headrace.cli.checks import house, machine, software
from headrace.cli.checks.finding import Finding, Health, caution, fine, wrong
from headrace.cli.render.findings import findings_picture
from headrace.sites.home import Home


@pytest.fixture
def home(tmp_path):
    return Home(root=tmp_path / ".headrace").ensure()


@pytest.fixture
def installed(monkeypatch):
    """Pretends that these packages are installed, with their requirements, and no others."""

    def install(versions, requirements=None):
        def version(name):
            if name not in versions:
                raise PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(software, "version", version)
        monkeypatch.setattr(software, "requires", lambda name: (requirements or {}).get(name, []))

    return install


def test_the_picture_has_a_remedy_beneath_what_is_wrong(drawn):
    findings = [
        fine("Python", "Python 3.12.1 (/home/me/.venv)"),
        Finding(subject="Ray", health=Health.ABSENT, text="ray is not installed", remedy="uv sync"),
        caution("disk", "3.2 GB free at /tmp", "headrace clean"),
        Finding(
            subject="Java",
            health=Health.WRONG,
            text="None is usable.",
            remedy="apt-get install openjdk-17-jdk-headless",
            where=("JAVA_HOME: /nowhere does not exist",),
        ),
    ]
    assert drawn(findings_picture(findings)) == (
        "✔ Python  Python 3.12.1 (/home/me/.venv)\n"
        "– Ray     ray is not installed\n"
        "          try uv sync\n"
        "! disk    3.2 GB free at /tmp\n"
        "          try headrace clean\n"
        "✘ Java    None is usable.\n"
        "          at  JAVA_HOME: /nowhere does not exist\n"
        "          try apt-get install openjdk-17-jdk-headless\n"
        "\n"
        "1 thing to mend."
    )
    assert drawn(findings_picture(findings[:3])).endswith("\nWorks, with 1 reservation.")
    assert drawn(findings_picture(findings[:2])).endswith("\nAll is well.")


def test_an_engine_that_is_not_installed_is_needed_only_by_its_steps(installed):
    installed({})
    assert software.check_part("Spark", ("pyspark", "pyarrow"), {}) == Finding(
        subject="Spark",
        health=Health.ABSENT,
        text="pyspark is not installed; only steps that use it need it",
        remedy="uv sync --extra spark",
    )


def test_half_an_engine_is_wrong(installed):
    installed({"pyspark": "4.3.0"})
    assert software.check_part("Spark", ("pyspark", "pyarrow"), {}) == wrong(
        "Spark", "pyarrow is missing beside pyspark", "uv sync --extra spark"
    )


def test_versions_that_do_not_agree_are_wrong(installed):
    installed(
        {"ray": "2.59.0", "torch": "2.15.0+cpu", "numpy": "1.20"},
        {"torch": ["numpy>=2", "pandas; extra == 'dev'", "setuptools"]},
    )
    needed = {"ray": Requirement("ray>=2.60,<2.61"), "torch": Requirement("torch>=2.13")}
    assert software.check_part("Ray", ("ray", "torch"), needed) == wrong(
        "Ray",
        "ray 2.59.0, but Headrace needs <2.61,>=2.60; torch needs numpy>=2, not 1.20; "
        "torch needs setuptools, which is missing",
        "uv sync --extra ray --reinstall",
    )


def test_versions_that_agree_are_listed(installed):
    installed({"ray": "2.60.1", "torch": "2.15.0+cpu"})
    needed = {"ray": Requirement("ray>=2.60,<2.61"), "torch": Requirement("torch>=2.13")}
    assert software.check_part("Ray", ("ray", "torch"), needed) == fine(
        "Ray", "ray 2.60.1, torch 2.15.0"
    )


def test_no_java_is_wrong_and_says_where_was_looked(monkeypatch):
    from headrace.engines import java

    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(java.find_java.__kwdefaults__, "places", ())
    finding = software.check_java()
    assert finding.health is Health.WRONG
    assert finding.where == ("JAVA_HOME: /nowhere does not exist",)


@pytest.mark.parametrize(
    ("free", "health"),
    [(60e9, Health.FINE), (3e9, Health.CAUTION), (1e8, Health.WRONG)],
)
def test_the_disk_with_the_least_room_counts(monkeypatch, home, free, health):
    class Usage:
        def __init__(self, place):
            self.free = free if place == home.root else 9e12

    monkeypatch.setattr(machine.shutil, "disk_usage", Usage)
    finding = machine.check_disk(home)
    assert finding.health is health
    assert finding.text.endswith(f" free at {home.root}")


def test_a_home_that_cannot_be_written_is_wrong(home, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(house.tempfile, "TemporaryFile", refuse)
    assert house.check_home(home) == wrong(
        "home",
        f"{home.root} cannot be written: Permission denied",
        "choose another folder with --home, or make it yours",
    )


def test_a_database_of_somebody_else_is_wrong(home):
    with sqlite3.connect(home.database) as connection:
        connection.execute("CREATE TABLE cats (name TEXT)")
    connection.close()
    finding = house.check_database(home)
    assert (finding.subject, finding.health) == ("database", Health.WRONG)
    assert finding.remedy


def test_a_home_before_its_first_run_is_well(tmp_path):
    assert [(one.subject, one.health) for one in house.house(Home(root=tmp_path / "new"))] == [
        ("home", Health.FINE)
    ]


def test_a_killed_run_that_left_nothing_is_only_counted(home, flights_at_work):
    flights_at_work.events[0]["pid"] = 2**22 + 1
    flights_at_work.write(home.runs)
    finding = house.check_runs(home, house.list_runs(home))
    assert finding == fine("runs", "1 run, 1 killed")


def test_a_record_that_is_incomplete_is_a_reservation(home, flights_promoted):
    flights_promoted.write(home.runs)
    assert house.check_records(home) == caution(
        "record",
        "1 run not wholly in MLflow, such as flights-20261124-081500-7c1e",
        "headrace open completes the record when it starts",
    )


def test_something_wrong_ends_with_4_and_programs_get_it_too(headrace, home, monkeypatch):
    monkeypatch.setattr(
        sys.modules["headrace.cli.checks.house"],
        "check_home",
        lambda home: wrong("home", "it is on fire", "pour water"),
    )
    assert headrace("doctor").code == 4
    told = json.loads(headrace("doctor", "--json").out)
    assert told["well"] is False
    assert {
        "subject": "home",
        "health": "wrong",
        "text": "it is on fire",
        "remedy": "pour water",
        "where": [],
    } in told["findings"]
