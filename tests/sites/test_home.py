"""Where a project's home is, and what is in it."""

from pathlib import Path

import pytest

from headrace.sites.home import HOME_VARIABLE, Home, find_home


@pytest.fixture(autouse=True)
def no_home_set(monkeypatch):
    monkeypatch.delenv(HOME_VARIABLE, raising=False)


def test_an_explicit_folder_wins(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "set"))
    assert find_home(tmp_path, explicit=tmp_path / "said").root == tmp_path / "said"
    assert find_home(tmp_path).root == tmp_path / "set"


def test_relative_and_home_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert find_home(tmp_path, explicit="here").root == tmp_path / "here"
    assert find_home(tmp_path, explicit="~/there").root == tmp_path / "me" / "there"


@pytest.mark.parametrize("marker", [".git", "pyproject.toml", ".headrace"])
def test_the_nearest_project_above(tmp_path, marker):
    (tmp_path / ".git").mkdir()
    inner = tmp_path / "a" / "b"
    (inner / "c").mkdir(parents=True)
    (inner / marker).touch() if "." in marker[1:] else (inner / marker).mkdir()
    file = inner / "c" / "pipeline.py"
    file.touch()
    assert find_home(file).root == inner / ".headrace"
    assert find_home(inner / "c").root == inner / ".headrace"
    assert find_home(tmp_path / "a").root == tmp_path / ".headrace"


def test_no_project_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr("headrace.sites.home.PROJECT_MARKERS", ("no-such-marker",))
    assert find_home(tmp_path).root == tmp_path / ".headrace"


def test_names_inside(tmp_path):
    home = Home(root=Path("/h"))
    assert [
        str(one)
        for one in (
            home.artifacts, home.cache, home.code, home.runs, home.servers, home.database,
            home.mlartifacts, home.run("r-1"),
        )
    ] == [
        "/h/artifacts", "/h/cache", "/h/code", "/h/runs", "/h/servers", "/h/mlflow.db",
        "/h/mlartifacts", "/h/runs/r-1",
    ]  # fmt: skip
    assert home.tracking_uri == "sqlite:////h/mlflow.db"


def test_it_is_made_once_and_git_does_not_see_it(tmp_path):
    home = Home(root=tmp_path / "a" / ".headrace")
    assert home.ensure() is home
    assert (home.root / ".gitignore").read_text() == "*\n"
    (home.root / ".gitignore").write_text("mine\n")
    home.ensure()
    assert (home.root / ".gitignore").read_text() == "mine\n"
