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


ALWAYS_BROKEN = """
from skirret.logs import get_task_logger
@signals.setup_logging.connect
def set_up(loglevel, **more):
    class Away(logging.Handler):
        def emit(self, record):
            raise ConnectionError("the log server is away")
    own = logging.FileHandler("app.log")
    own.set_name("skirret")
    root = logging.getLogger()
    root.handlers[:] = [Away(), own]
    root.setLevel(loglevel)
@app.task
def prints(fails=False):
    print("printed")
    get_task_logger("tasks").info("logged")
    if fails:
        raise ValueError("as asked")
    return 2
@app.task(bind=True, max_retries=1)
def again(self):
    if not self.request.retries:
        raise self.retry(countdown=0)
    return 3
@signals.task_received.connect
def hears(**more):
    raise RuntimeError("a receiver that raises")
"""


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_no_task_fails_and_no_process_ends_of_a_log_handler_that_raises_on_each_record(
    tmp_path: Path, pool: str
) -> None:
    (tmp_path / "logged.py").write_text(ADDED + ALWAYS_BROKEN)
    (tmp_path / "app.log").touch()
    with running(f"skirret -A logged worker -n w@h -c 1 -l info -P {pool}", tmp_path) as worker:
        # The supervisor's own line; under solo it has the app's handlers, which say it in their file.
        wait_until(lambda: "ready." in worker.said() + (tmp_path / "app.log").read_text())
        before = set(family(worker.pid))
        for name, value in (("works", "1"), ("prints", "2"), ("again", "3")):
            status, said = run(f"skirret -A logged call logged.{name} --wait", tmp_path)
            assert (status, said.strip().splitlines()[-1]) == (0, value)
        status, said = run("skirret -A logged call logged.prints --kwargs '{\"fails\": true}' --wait", tmp_path)
        assert status == 1
        assert "as asked" in said
        wait_until(lambda: lines(tmp_path / "app.log", "a receiver that raises"))  # the handler process logs too
        assert set(family(worker.pid)) == before
        faults = len(lines(tmp_path / "app.log", "raised ConnectionError: the line is lost there"))
        assert faults <= len(before), "told more than once by a process"
        assert faults >= 1


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    return [pid, *(one for child in children_of(pid) for one in family(child))]


def test_without_such_receivers_no_process_is_made_for_them(tmp_path: Path) -> None:
    (tmp_path / "logged.py").write_text(ADDED)
    with running("skirret -A logged worker -n w@h -c 1 -l info", tmp_path) as worker:
        worker.wait_until_it_says("ready.")
        (template,) = children_of(worker.pid)
        assert len(children_of(template)) == 1
    assert not (tmp_path / "app.log").exists()
