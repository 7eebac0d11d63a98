"""Where the embedded file of a project is."""

from __future__ import annotations

from pathlib import Path

import pytest

from skirret.errors import ImproperlyConfigured
from skirret.stores.sqlite import location
from skirret.stores.sqlite.location import embedded_path, path_of, project_directory, url_of
from skirret.url import parse


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    monkeypatch.delenv("SKIRRET_HOME")


@pytest.mark.parametrize("mark", location.MARKS)
def test_the_nearest_ancestor_with_a_mark_is_the_project(tmp_path, mark):
    (tmp_path / ".git").mkdir()
    project = tmp_path / "project"
    package = project / "src" / "shop"
    package.mkdir(parents=True)
    (project / mark).mkdir()
    assert project_directory(package / "tasks.py") == project
    assert project_directory(package) == project
    assert project_directory(project) == project


def test_a_module_and_the_directory_it_is_started_from_find_the_same_file(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path)
    expected = tmp_path / ".skirret" / "queue.sqlite3"
    assert embedded_path(Path("shop/tasks.py")) == embedded_path(tmp_path) == embedded_path(Path.cwd()) == expected


def test_two_projects_never_share_a_file(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").touch()
    assert embedded_path(tmp_path / "a" / "tasks.py") != embedded_path(tmp_path / "b" / "tasks.py")


def test_without_a_mark_a_file_belongs_to_its_directory_or_to_that_of_its_topmost_package(tmp_path, monkeypatch):
    monkeypatch.setattr(location, "MARKS", ("no-such-mark",))
    package = tmp_path / "shop" / "orders"
    package.mkdir(parents=True)
    for directory in (package, package.parent):
        (directory / "__init__.py").touch()
    assert project_directory(tmp_path / "tasks.py") == tmp_path
    assert project_directory(package / "tasks.py") == tmp_path
    assert project_directory(tmp_path) == tmp_path


@pytest.mark.parametrize(
    "inside", [Path(pytest.__file__), Path(parse.__code__.co_filename).parent / "site-packages" / "x.py"]
)
def test_an_app_among_installed_packages_belongs_to_the_current_directory(tmp_path, monkeypatch, inside):
    (tmp_path / "setup.cfg").touch()
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    assert project_directory(inside) == tmp_path


def test_an_environment_variable_names_another_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("SKIRRET_HOME", str(tmp_path / "elsewhere"))
    assert embedded_path(tmp_path) == tmp_path / "elsewhere" / "queue.sqlite3"


@pytest.mark.parametrize("name", ["plain.db", "with space.db", "100%.db", "what?#.db", "ümläut.db"])
def test_a_path_survives_its_address(tmp_path, name):
    assert path_of(parse(url_of(tmp_path / name))) == tmp_path / name


def test_three_slashes_are_relative_and_four_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert path_of(parse("sqlite:///a/b.db")) == tmp_path / "a" / "b.db"
    assert path_of(parse("sqlite:////a/b.db")) == Path("/a/b.db")


def test_an_address_without_a_path_is_the_embedded_file_of_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert path_of(parse("sqlite://")) == tmp_path / ".skirret" / "queue.sqlite3"


@pytest.mark.parametrize(
    "text, advice", [("sqlite://host/a.db", "three or four slashes"), ("sqlite:///:memory:", "memory://")]
)
def test_an_address_that_cannot_be_says_what_to_write_instead(text, advice):
    with pytest.raises(ImproperlyConfigured, match=advice):
        path_of(parse(text))
