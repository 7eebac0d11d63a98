"""The supervisor's log lines reach handlers that the app has set up, once, and the supervisor's own log keeps them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.acceptance.faulty import children_of, is_alive, wait_until
from tests.acceptance.processes import run, running

pytestmark = pytest.mark.timeout(120)

ADDED = """
import logging
from skirret import Skirret, signals
app = Skirret("logged")
def to_file():
    handler = logging.FileHandler("app.log")
    handler.setFormatter(logging.Formatter("%(name)s %(processName)s %(levelname)s %(message)s"))
    return handler
@app.task
def works():
    return 1
"""

ON_TOP = """
@signals.after_setup_logger.connect
def add(logger, **more):
    logger.addHandler(to_file())
"""

INSTEAD = """
@signals.setup_logging.connect
def set_up(loglevel, **more):
    root = logging.getLogger()
    root.handlers[:] = [to_file(), logging.StreamHandler()]
    root.setLevel(loglevel)
"""


def lines(file: Path, words: str) -> list[str]:
    return [line for line in file.read_text().splitlines() if words in line]


@pytest.mark.parametrize("receivers", [ON_TOP, INSTEAD], ids=["after_setup_logger", "setup_logging"])
def test_a_line_of_the_supervisor_is_in_the_apps_log_once_and_on_stderr_once(tmp_path: Path, receivers: str) -> None:
    (tmp_path / "logged.py").write_text(ADDED + receivers)
    with running("skirret -A logged worker -n w@h -c 1 -l info", tmp_path) as worker:
        worker.wait_until_it_says("ready.")
        status, _ = run("skirret -A logged call logged.works --wait", tmp_path)
        assert status == 0
        wait_until(lambda: lines(tmp_path / "app.log", "received"))
    for words in ("w@h ready.", "received"):
        (line,) = lines(tmp_path / "app.log", words)
        assert line.startswith("skirret.worker MainProcess INFO ")
        assert len(lines(worker.log, words)) == 1
    assert len(lines(tmp_path / "app.log", "succeeded")) == 1  # the child's own


def test_lines_reach_the_apps_log_after_its_handler_process_died(tmp_path: Path) -> None:
    (tmp_path / "logged.py").write_text(ADDED + ON_TOP)
    with running("skirret -A logged worker -n w@h -c 1 -l info", tmp_path) as worker:
        worker.wait_until_it_says("ready.")
        wait_until(lambda: lines(tmp_path / "app.log", "ready."))
        (template,) = children_of(worker.pid)
        before = children_of(template)
        for pid in before:  # the handler and the child: which is which is not told
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len([pid for pid in children_of(template) if is_alive(pid) and pid not in before]) == 2)
        status, _ = run("skirret -A logged call logged.works --wait", tmp_path)
        assert status == 0
        wait_until(lambda: lines(tmp_path / "app.log", "received"))
        assert lines(tmp_path / "app.log", "another one is started")


BROKEN = """
import os
@signals.after_setup_logger.connect
def add(logger, **more):
    class Away(logging.Handler):
        def emit(self, record):
            if record.process != os.getpid():  # of the supervisor
                raise ConnectionError("the log server is away")
    logging.getLogger("skirret.worker").addHandler(to_file())
    logging.getLogger("skirret.worker").addHandler(Away())
"""


def test_a_log_handler_that_raises_does_not_end_the_process_that_it_lives_in(tmp_path: Path) -> None:
    (tmp_path / "logged.py").write_text(ADDED + BROKEN)
    with running("skirret -A logged worker -n w@h -c 1 -l info", tmp_path) as worker:
        worker.wait_until_it_says("ready.")
        wait_until(lambda: lines(tmp_path / "app.log", "ready."))
        status, _ = run("skirret -A logged call logged.works --wait", tmp_path)
        assert status == 0
        wait_until(lambda: lines(tmp_path / "app.log", "received"))
        wait_until(lambda: "ConnectionError: the log server is away" in worker.said())
        assert "another one is started" not in worker.said()


def test_without_such_receivers_no_process_is_made_for_them(tmp_path: Path) -> None:
    (tmp_path / "logged.py").write_text(ADDED)
    with running("skirret -A logged worker -n w@h -c 1 -l info", tmp_path) as worker:
        worker.wait_until_it_says("ready.")
        (template,) = children_of(worker.pid)
        assert len(children_of(template)) == 1
    assert not (tmp_path / "app.log").exists()
