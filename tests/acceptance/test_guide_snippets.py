"""Every snippet of the user's guide does what the guide says, taken from its text with only the import line changed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from skirret.worker.pidfile import lives
from tests.acceptance.guide import GUIDE, ORIGINAL, blocks
from tests.acceptance.processes import Program, run, running
from tests.acceptance.snippets import PROJECT, PYTHON, REQUESTS, SHELL, Python

ROOT = Path(__file__).parents[2]
RUNNER = Path(__file__).with_name("run_snippet.py")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the project that the guide talks about."""
    directory = tmp_path_factory.mktemp("project")
    (directory / "project_name.py").write_text(PROJECT)
    (directory / "requests.py").write_text(REQUESTS)
    for key, case in PYTHON.items():
        if case.served:
            (directory / f"{case.module}.py").write_text(f"{case.preamble}\n{blocks()[key].ours}")
    return directory


@pytest.fixture(autouse=True)
def home(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All programs of the guide meet in the project's own embedded file."""
    path = project / ".skirret"
    monkeypatch.setenv("SKIRRET_HOME", str(path))
    return path


@pytest.fixture(scope="module")
def guide_worker(project: Path) -> Iterator[Program]:
    """The worker, started by the guide's own command."""
    (command,) = blocks()["3. Worker / 1"].commands
    with running(command, project, {"SKIRRET_HOME": str(project / ".skirret")}) as worker:
        worker.wait_until_it_says("ready")
        yield worker


def run_python(key: str, case: Python, directory: Path) -> object:
    """Run a Python snippet in a process of its own; the effect that it left."""
    parts = {"preamble": case.preamble, "snippet": blocks()[key].ours, "action": case.action}
    done = subprocess.run(
        [sys.executable, str(RUNNER), case.module],
        cwd=directory, input=json.dumps(parts), capture_output=True, text=True, timeout=40, env=os.environ, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def later(issue: str) -> pytest.MarkDecorator:
    """Marks what must fail until an issue lands; succeeding is then an error, so that the entry gets completed."""
    return pytest.mark.xfail(reason=f"needs the issue on {issue}", strict=True, raises=AssertionError)


def python_cases() -> Iterator[object]:
    for key, case in PYTHON.items():
        yield pytest.param(key, case, id=key, marks=[later(case.later)] if case.later else [])


def waiting_commands() -> Iterator[object]:
    for key, cases in SHELL.items():
        for case, command in zip(cases, blocks()[key].commands, strict=True):
            if case.later:
                yield pytest.param(command, id=command, marks=later(case.later))


def test_the_guide_is_the_one_that_its_authors_keep():
    if ORIGINAL.exists():
        assert GUIDE.read_text(encoding="utf-8") == ORIGINAL.read_text(encoding="utf-8")
    assert len(blocks()) > 15


def test_every_snippet_of_the_guide_stands_in_a_table():
    assert sorted(blocks()) == sorted([*PYTHON, *SHELL])
    assert {key for key, block in blocks().items() if block.language == "python"} == set(PYTHON)


def test_only_the_import_line_of_a_snippet_is_changed():
    for block in blocks().values():
        changed = [
            (old, new) for old, new in zip(block.text.splitlines(), block.ours.splitlines(), strict=True) if old != new
        ]
        for old, new in changed:
            assert new == re.sub("celery", "skirret", old, count=1)
            assert old.startswith("from celery" if block.language == "python" else ("celery ", "pip install celery"))


@pytest.mark.usefixtures("guide_worker")
@pytest.mark.parametrize("key, case", list(python_cases()))
def test_the_python_snippet_has_its_effect(key, case, project):
    assert run_python(key, case, project) == case.effect


@pytest.mark.parametrize("command", list(waiting_commands()))
def test_the_command_of_a_later_issue_works(command, project):
    status, said = run(command, project)
    assert status == 0, said


def test_the_guides_first_task_runs_on_a_worker_of_its_own(project, tmp_path):
    """``tasks.py`` names a Redis; the command line and the caller put the embedded file in its place."""
    key = "1. Task / 1"
    (tmp_path / "tasks.py").write_text(blocks()[key].ours)
    url = f"sqlite:///{tmp_path}/queue.sqlite3"
    ask = Python(
        module="tasks",
        action=(
            f"app.conf.update(broker_url={url!r}, result_backend={url!r})\n"
            "effect = [add.delay(4, 6).get(timeout=10), send_email.delay('a@example.com', 'hello').get(timeout=10)]"
        ),
    )
    with running(f"skirret -A tasks -b {url} --result-backend {url} worker --loglevel=info", tmp_path) as worker:
        worker.wait_until_it_says("ready")
        assert run_python(key, ask, tmp_path) == [10, None]
        assert worker.stop() == 0, worker.said()


def test_the_guides_worker_says_what_it_serves(guide_worker):
    assert "project_name.add" in guide_worker.said()
    assert "decorators.simple_task" in guide_worker.said()


@pytest.mark.parametrize("number, words", [(0, "4 (prefork)"), (2, "(prefork)")])
def test_a_worker_option_of_the_guide_is_obeyed(number, words, project, tmp_path, monkeypatch):
    monkeypatch.setenv("SKIRRET_HOME", str(tmp_path))
    command = blocks()["3. Worker / 2"].commands[number]
    with running(command, project) as worker:
        worker.wait_until_it_says("concurrency")
        assert words in worker.said()
        key = "Calling Tasks / 1"
        assert run_python(key, PYTHON[key], project) == 10
        assert worker.stop() == 0, worker.said()


def test_the_guides_worker_in_the_background_serves_and_leaves_the_terminal(project, tmp_path, monkeypatch):
    monkeypatch.setenv("SKIRRET_HOME", str(tmp_path))
    command = blocks()["3. Worker / 2"].commands[1]
    status, said = run(command, project)
    found = re.search(r"runs in the background: process (\d+)", said)
    assert (status, bool(found)) == (0, True), said
    pid = int(found.group(1))
    try:
        key = "Calling Tasks / 1"
        assert run_python(key, PYTHON[key], project) == 10
    finally:
        os.kill(pid, signal.SIGTERM)
        while lives(pid):
            time.sleep(0.02)


def test_the_guides_worker_with_a_beat_serves_and_says_that_the_scheduler_comes_separately(
    project, tmp_path, monkeypatch
):
    monkeypatch.setenv("SKIRRET_HOME", str(tmp_path))
    with running(blocks()["Running Beat Scheduler / 1"].commands[1], project) as worker:
        worker.wait_until_it_says("ready")
        assert "it comes separately, as `skirret beat`" in worker.said()
        assert worker.stop() == 0


@pytest.mark.usefixtures("guide_worker")
@pytest.mark.parametrize(
    "number, words", [(0, "OK"), (1, '"total"'), (2, "project_name.add"), (3, "OK"), (4, "celery")]
)
def test_an_inspecting_command_of_the_guide_tells_what_the_worker_does(number, words, project):
    status, said = run(blocks()["Inspecting Workers / 1"].commands[number], project)
    assert status == 0, said
    assert words in said
    assert "1 node replied." in said


def test_the_controlling_commands_of_the_guide_have_their_effects(project, tmp_path, monkeypatch):
    monkeypatch.setenv("SKIRRET_HOME", str(tmp_path))
    shutdown, restart, autoscale, rate_limit, revoke = blocks()["Controlling Workers / 1"].commands
    with running("skirret -A project_name worker -c 1 -l info", project) as worker:
        worker.wait_until_it_says("ready.")
        status, task_id = run("skirret -A project_name -q call project_name.add --args [1,2] --countdown 60", project)
        assert status == 0
        task_id = task_id.split()[-1]
        for command, words in (
            (autoscale, "max=10 min=3"),
            (rate_limit, "new rate limit set successfully"),
            (restart, "reload started"),
            (revoke.replace("<task_id>", task_id), f"tasks {{'{task_id}'}} flagged as revoked"),
        ):
            status, said = run(command, project)
            assert status == 0, said
            assert words in said
        worker.wait_until_it_says("new children take over")
        assert task_id in run("skirret -A project_name inspect revoked", project)[1]
        status, said = run(shutdown, project)
        assert status == 0, said
        assert worker.wait() == 0


def test_the_extra_that_the_guide_installs_exists():
    (command,) = blocks()["Installation / 1"].commands
    assert command == "pip install skirret[beat]"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "beat" in project["optional-dependencies"]
