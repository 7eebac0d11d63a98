"""``--reload``: a worker serves new code after a change, and the old code as long as the new one cannot be imported."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.faulty import Project, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

HELPER = "VERSION = {version}\n"
TASKS = """
import versions

@app.task
def version(): return versions.VERSION
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.delenv("SKIRRET_HOME", raising=False)
    project = Project(tmp_path, module="daemon_app")
    project.env["SKIRRET_RUN_DIR"] = str(tmp_path / "run")
    with (tmp_path / "daemon_app.py").open("a") as file:
        file.write(TASKS)
    yield project
    project.app.close()


LENGTHS = itertools.count()


def write(project: Project, text: str) -> None:
    """Write the module anew, each time longer: Python knows it by its size and the second in which it was written."""
    (project.directory / "versions.py").write_text(text + "#" * next(LENGTHS))


def test_a_change_of_an_imported_file_is_served_and_no_task_is_lost(project):
    write(project, HELPER.format(version=1))
    with project.worker("-c 2 --reload") as worker:
        worker.wait_until_it_says("Watching")
        assert project.send("version").get(timeout=20) == 1
        running = [project.send("sleep", 0.3) for _ in range(20)]
        write(project, HELPER.format(version="22"))
        worker.wait_until_it_says("versions.py changed: the app is imported anew.")
        after = [project.send("version") for _ in range(20)]
        for result in [*running, *after]:
            result.get(timeout=40)
        wait_until(lambda: project.send("version").get(timeout=20) == 22)
        assert worker.stop() == 0
    assert project.size().held == 0


def test_a_file_that_cannot_be_imported_is_shown_and_the_running_pool_is_untouched(project):
    write(project, HELPER.format(version=1))
    with project.worker("-c 1 --reload") as worker:
        worker.wait_until_it_says("Watching")
        write(project, "VERSION = 2 +\n")
        worker.wait_until_it_says("The app cannot be imported anew, so everything stays as it was")
        worker.wait_until_it_says("SyntaxError")
        assert project.send("version").get(timeout=20) == 1
        write(project, HELPER.format(version=3))
        wait_until(lambda: project.send("version").get(timeout=20) == 3)
        assert worker.stop() == 0


def test_a_new_task_in_a_new_file_is_served_and_the_file_is_watched_from_then_on(project):
    write(project, HELPER.format(version=1))
    package = project.directory / "more"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "tasks.py").write_text("from daemon_app import app\n@app.task\ndef fresh(): return 'fresh'\n")
    with project.worker("-c 1 --reload") as worker:
        worker.wait_until_it_says("Watching")
        write(project, HELPER.format(version=2) + "import more.tasks\n")
        worker.wait_until_it_says(f"{package} for changes.")
        assert project.app.send_task("more.tasks.fresh").get(timeout=20) == "fresh"
        text = (package / "tasks.py").read_text()
        (package / "tasks.py").write_text(text.replace("'fresh'", "'fresher'"))
        wait_until(lambda: project.app.send_task("more.tasks.fresh").get(timeout=20) == "fresher")
        assert worker.stop() == 0


def test_a_pool_without_children_begins_anew_with_its_worker(project):
    write(project, HELPER.format(version=1))
    with project.worker("-P solo --reload") as worker:
        worker.wait_until_it_says("Watching")
        assert project.send("version").get(timeout=20) == 1
        write(project, "VERSION = 2 +\n")
        worker.wait_until_it_says("The app cannot be imported now, so this worker goes on as it is:")
        assert project.send("version").get(timeout=20) == 1
        write(project, HELPER.format(version=3))
        wait_until(lambda: project.send("version").get(timeout=20) == 3)
        assert worker.stop() == 0


def test_hup_is_not_obeyed_as_long_as_the_app_cannot_be_imported(project):
    write(project, HELPER.format(version=1))
    with project.worker("-c 1") as worker:
        write(project, "VERSION = 2 +\n")
        worker.process.send_signal(signal.SIGHUP)
        worker.wait_until_it_says("The app cannot be imported now, so this worker goes on as it is:")
        assert project.send("version").get(timeout=20) == 1
        write(project, HELPER.format(version=3))
        worker.process.send_signal(signal.SIGHUP)
        wait_until(lambda: project.send("version").get(timeout=20) == 3)
        assert worker.stop() == 0
