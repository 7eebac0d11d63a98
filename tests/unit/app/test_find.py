"""-A finds the app by Celery's rules, and says what to write where it does not."""

from __future__ import annotations

import importlib
import itertools
import sys

import pytest

from skirret.app.find import find_app
from skirret.errors import ImproperlyConfigured

_COUNT = itertools.count()

APP = "from skirret import Skirret\n{name} = Skirret('{main}', broker='memory://', set_as_current=False)\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes files of a project into the current directory; returns names that no other test uses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    before = set(sys.modules)

    def write(files):
        unique = f"proj{next(_COUNT)}"
        for path, text in files.items():
            target = tmp_path / path.format(p=unique)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text.format(p=unique, app=APP.format(name="app", main="found")))
        importlib.invalidate_caches()
        return unique

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("proj"):
            del sys.modules[name]


@pytest.mark.parametrize(
    "files,path",
    [
        ({"{p}.py": "{app}"}, "{p}"),
        ({"{p}.py": "{app}"}, "{p}:app"),
        ({"{p}.py": "{app}"}, "{p}.app"),
        ({"{p}.py": "{app}"}, "{p}.py"),
        ({"{p}.py": "{app}celery = app\ndel app"}, "{p}"),
        ({"{p}.py": "{app}worker = app\ndel app"}, "{p}"),
        ({"{p}.py": "{app}other = app"}, "{p}:other"),
        ({"{p}.py": "{app}def make(): return app"}, "{p}:make"),
        ({"{p}/__init__.py": "", "{p}/celery.py": "{app}"}, "{p}"),
        ({"{p}/__init__.py": "", "{p}/celery.py": "{app}"}, "{p}.celery"),
        ({"{p}/__init__.py": "", "{p}/app.py": "{app}"}, "{p}"),
        ({"{p}/__init__.py": "from {p}.celery import app", "{p}/celery.py": "{app}"}, "{p}"),
        ({"{p}/__init__.py": "", "{p}/tasks.py": "{app}"}, "{p}.tasks"),
        ({"{p}/__init__.py": "", "{p}/tasks.py": "{app}"}, "{p}/tasks.py"),
        ({"{p}/__init__.py": "from {p} import celery", "{p}/celery.py": "{app}"}, "{p}:celery"),
    ],
)
def test_the_app_is_found_in_the_current_directory(project, files, path):
    unique = project(files)
    app = find_app(path.format(p=unique))
    assert app.main == "found"
    from skirret import current_app

    assert current_app == app


def test_a_file_elsewhere_is_found_by_its_path_with_its_package(project, tmp_path, monkeypatch):
    unique = project({"{p}/__init__.py": "", "{p}/deep/__init__.py": "", "{p}/deep/tasks.py": "{app}"})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    find_app(str(tmp_path / unique / "deep" / "tasks.py"))
    assert f"{unique}.deep.tasks" in sys.modules


def test_an_app_starts_the_command_line_for_itself(project, monkeypatch):
    unique = project({"{p}.py": "{app}"})
    app = find_app(unique)
    asked = []
    monkeypatch.setattr("skirret.cli.main", lambda argv: asked.append(argv) or 0)
    assert app.start(["worker", "-l", "info"]) == 0
    assert app.worker_main(["-A", "other", "worker"]) == 0
    assert asked == [["-A", str(app.origin), "worker", "-l", "info"], ["-A", "other", "worker"]]
    assert find_app(asked[0][1]) is app


@pytest.mark.parametrize(
    "files,path,words",
    [
        ({}, "{p}", ["there is no module '{p}'", "current directory"]),
        ({"{p}.py": "x = 1"}, "{p}", ["holds no app", "Skirret("]),
        ({"{p}.py": "x = 1"}, "{p}:y", ["has no 'y'"]),
        ({"{p}.py": "x = 1"}, "{p}:x", ["not an app"]),
        ({"{p}.py": "import nothing_of_that_name"}, "{p}", ["'nothing_of_that_name'", "not installed"]),
        ({"{p}.py": "1 / 0"}, "{p}", ["importing '{p}' failed", "ZeroDivisionError"]),
        (
            {"{p}.py": "{app}one = app\ntwo = Skirret('two', broker='memory://')\ndel app"},
            "{p}",
            ["several", "{p}:one"],
        ),
        ({"{p}/__init__.py": ""}, "{p}.missing", ["{p}.missing"]),
        ({}, ":app", ["names no module"]),
    ],
)
def test_what_is_not_found_is_told_with_advice(project, files, path, words):
    unique = project(files)
    with pytest.raises(ImproperlyConfigured) as caught:
        find_app(path.format(p=unique))
    for word in words:
        assert word.format(p=unique) in str(caught.value)
