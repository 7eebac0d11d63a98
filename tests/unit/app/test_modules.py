"""The modules that define tasks are imported when a worker asks, and a failure says which and why."""

from __future__ import annotations

import sys

import pytest

from skirret import signals
from skirret.errors import ImproperlyConfigured


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(**files):
        for name, text in files.items():
            path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.parent != tmp_path:
                (path.parent / "__init__.py").touch()
            path.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("unitmod"):
            del sys.modules[name]


def test_imports_and_include_are_imported(app, project):
    project(unitmod_a="x = 1", unitmod_b="x = 1")
    app.conf.update(imports=["unitmod_a"], include=("unitmod_b",))
    assert "unitmod_a" not in sys.modules
    app.import_modules()
    assert {"unitmod_a", "unitmod_b"} <= set(sys.modules)


def test_packages_are_discovered_late_and_those_without_the_module_are_passed_over(app, project):
    project(unitmod1__tasks="x = 1", unitmod2__other="x = 1", unitmod_plain="x = 1")
    app.autodiscover_tasks(lambda: ["unitmod1", "unitmod2", "unitmod_plain"])
    assert "unitmod1.tasks" not in sys.modules
    app.import_modules()
    assert "unitmod1.tasks" in sys.modules
    assert "unitmod2.tasks" not in sys.modules


def test_another_module_name_none_and_force(app, project):
    project(unitmod3__jobs="x = 1", unitmod4__tasks="x = 1", unitmod5__tasks="x = 1")
    app.autodiscover_tasks(["unitmod3"], related_name="jobs", force=True)
    assert "unitmod3.jobs" in sys.modules
    app.autodiscover_tasks(["unitmod4"], related_name=None, force=True)
    assert "unitmod4" in sys.modules
    assert "unitmod4.tasks" not in sys.modules


def test_a_django_style_config_class_means_its_package(app, project):
    project(unitmod6__apps="class SixConfig:\n    name = 'unitmod6'\n", unitmod6__tasks="x = 1")
    app.autodiscover_tasks(["unitmod6.apps.SixConfig"], force=True)
    assert "unitmod6.tasks" in sys.modules


@pytest.mark.parametrize(
    "text,cause", [("import no_such_thing_here", ModuleNotFoundError), ("raise ImportError", ImportError)]
)
def test_a_module_that_cannot_be_imported_is_named_with_its_cause(app, project, text, cause):
    project(unitmod7__tasks=text, unitmod8=text)
    app.autodiscover_tasks(["unitmod7"])
    with pytest.raises(ImproperlyConfigured, match=r"unitmod7.tasks.*autodiscover_tasks") as caught:
        app.import_modules()
    assert isinstance(caught.value.__cause__, cause)
    app.conf.include = ["unitmod8"]
    with pytest.raises(ImproperlyConfigured, match=r"unitmod8.*'include'"):
        app.import_modules()


def test_a_package_that_does_not_exist_is_an_error(app):
    with pytest.raises(ImproperlyConfigured, match="unitmod_missing"):
        app.autodiscover_tasks(["unitmod_missing"], force=True)


def test_an_error_inside_a_module_is_the_modules_own(app, project):
    project(unitmod9="1 / 0")
    app.conf.include = ["unitmod9"]
    with pytest.raises(ZeroDivisionError):
        app.import_modules()


def test_the_signal_import_modules_is_sent_first(app, project):
    seen = []

    def listen(sender, **_):
        seen.append(sender)

    signals.import_modules.connect(listen)
    app.import_modules()
    signals.import_modules.disconnect(listen)
    assert seen == [app]
