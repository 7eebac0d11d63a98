"""What can be seen of a real worker's tasks: their stacks, their progress, their silence; and its handler process."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from skirret.errors import EncodeError, TimeLimitExceeded
from tests.acceptance.faulty import wait_until
from tests.acceptance.processes import Program, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The app's module in this process, on the embedded file of a directory of its own."""
    here = Path(__file__).parent
    monkeypatch.setenv("NOTES", str(tmp_path))
    monkeypatch.setenv("OBSERVED_URL", f"sqlite:///{tmp_path}/queue.sqlite3")
    monkeypatch.setenv("PYTHONPATH", str(here))
    monkeypatch.syspath_prepend(str(here))
    sys.modules.pop("observed_app", None)
    module = importlib.import_module("observed_app")
    yield module
    module.app.close()
    sys.modules.pop("observed_app", None)


@pytest.fixture
def worker(tasks: ModuleType, tmp_path: Path) -> Iterator[Program]:
    with running("skirret -A observed_app worker -c 3 -l info", tmp_path) as program:
        program.wait_until_it_says("ready.", 30.0)
        yield program


def pids(tmp_path: Path, what: str) -> list[int]:
    path = tmp_path / what
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def stacks(tasks: ModuleType) -> dict[str, dict[str, Any]]:
    """What the worker tells of its running tasks, by name."""
    replies = tasks.app.control.inspect(timeout=20.0).stack() or {}
    return {entry["name"].rpartition(".")[2]: entry for told in replies.values() for entry in told}


def test_inspect_stack_tells_what_tasks_do_and_who_cannot_say(tasks, worker, tmp_path):
    running_tasks = [tasks.busy.delay(), tasks.deaf.delay()]
    wait_until(lambda: pids(tmp_path, "spinning") and pids(tmp_path, "deaf"))
    told = stacks(tasks)
    (tmp_path / "enough").touch()
    assert told["busy"]["id"] == running_tasks[0].id
    assert "in spin" in "\n".join(told["busy"]["stack"])
    assert told["deaf"]["stack"] == []
    assert "holds the interpreter's lock" in told["deaf"]["note"]
    for result in running_tasks:
        result.get(timeout=30)


def test_a_silent_task_ends_as_by_its_hard_limit_and_one_that_gives_heartbeats_does_not(tasks, worker):
    silent, lively = tasks.silent.delay(), tasks.lively.delay()
    with pytest.raises(TimeLimitExceeded):
        silent.get(timeout=30)
    assert lively.get(timeout=30) == "alive"
    assert f"Task observed_app.silent[{silent.id}] gave no heartbeat for 1 s" in worker.said()


def test_progress_is_seen_from_outside_and_an_abort_from_inside(tasks, worker, tmp_path):
    result = tasks.patient.delay()
    wait_until(lambda: result.state == "PROGRESS")
    assert result.info == {"current": 1, "total": 2, "percent": 50.0}
    wait_until(lambda: pids(tmp_path, "patient"))
    result.abort()
    assert result.get(timeout=30) == "aborted"


def test_a_handler_process_that_dies_is_replaced_and_hears_what_comes_then(tasks, worker, tmp_path):
    wait_until(lambda: pids(tmp_path, "ready"))
    (first,) = pids(tmp_path, "ready")
    os.kill(first, signal.SIGKILL)
    worker.wait_until_it_says("another one is started")
    for _ in range(2):
        tasks.fine.delay().get(timeout=30)
    wait_until(lambda: len(pids(tmp_path, "received-observed_app.fine")) == 2)
    heard = set(pids(tmp_path, "received-observed_app.fine"))
    assert len(heard) == 1
    assert first not in heard
    assert worker.stop() == 0
    assert set(pids(tmp_path, "stopped")) == heard


def test_receivers_are_told_of_messages_that_are_refused_and_of_runs_that_cannot_be_recorded(tasks, worker, tmp_path):
    tasks.app.broker.inject("celery", b"no message")
    wait_until((tmp_path / "rejected-InvalidTaskError").exists, 20.0)
    with pytest.raises(EncodeError, match="could not be recorded"):
        tasks.unspeakable.delay().get(timeout=20)
    wait_until((tmp_path / "internal-error-LookupError").exists, 20.0)
    assert tasks.fine.delay().get(timeout=20) is None, "and the worker goes on"
