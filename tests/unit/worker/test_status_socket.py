"""``skirret health`` asks the workers of this user on this machine, and trusts no directory that others may enter."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading

import pytest

from skirret import rundir
from skirret.cli import probe
from skirret.worker.loop import Loop
from skirret.worker.status_socket import StatusSocket

STATE = {"node": "w1@here", "pid": 1, "live": True, "ready": True, "why": [], "busy": 0, "slots": 2}


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    monkeypatch.setenv(rundir.VARIABLE, str(tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture
def worker(run_dir):
    """Serves a state that a test may change."""
    loop, state = Loop(), dict(STATE)
    status = StatusSocket(loop, "w1@here", lambda: state)
    thread = threading.Thread(target=loop.run)
    thread.start()
    yield state
    loop.call_from_thread(status.close)
    loop.call_from_thread(loop.stop)
    thread.join()
    loop.close()
    assert rundir.sockets(str(run_dir)) == []


def test_a_worker_that_is_well_is_healthy(worker, capsys, run_dir):
    assert probe.quick([]) == 0
    assert capsys.readouterr().out == "w1@here (process 1) is healthy, 0 of 2 slots busy\n"
    assert probe.quick(["-n", "w1@here", "--ready", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [STATE]
    assert stat.S_IMODE(run_dir.stat().st_mode) == 0o700


def test_one_that_lives_and_is_not_ready_is_healthy_unless_it_must_be_ready(worker, capsys):
    worker.update(ready=False, why=["no child is ready yet"])
    assert probe.quick([]) == 0
    assert probe.quick(["--ready"]) == 1
    assert "is NOT healthy: no child is ready yet" in capsys.readouterr().out


def test_one_that_is_stuck_is_not_healthy(worker):
    worker.update(live=False, why=["nothing was taken"])
    assert probe.quick([]) == 1


def test_no_worker_or_another_one_is_not_healthy(worker, capsys):
    assert probe.quick(["-n", "other@here"]) == 1
    assert "no worker named other@here answers" in capsys.readouterr().err


def test_where_no_worker_is_that_is_told_with_the_place(run_dir, capsys):
    assert probe.quick([]) == 1
    assert f"no worker answers in {run_dir} (No such file or directory)" in capsys.readouterr().err


def test_a_loop_that_stands_still_does_not_answer_and_is_not_healthy(run_dir, capsys):
    loop = Loop()  # nobody runs it
    status = StatusSocket(loop, "w1@here", lambda: STATE)
    assert probe.quick(["--timeout", "0.1"]) == 1
    assert f"w1@here (process {os.getpid()}) is NOT healthy: it does not answer" in capsys.readouterr().out
    status.close()
    loop.close()


def test_what_a_killed_worker_left_is_removed_and_does_not_count(worker, run_dir):
    path = run_dir / "999-gone@here.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    assert probe.quick([]) == 0
    assert not path.exists()


def test_a_directory_that_others_may_enter_is_not_used(run_dir, caplog, capsys):
    run_dir.mkdir(mode=0o755)
    loop = Loop()
    StatusSocket(loop, "w1@here", lambda: STATE)
    assert "others may enter it (its mode is 755, not 700)" in caplog.text
    assert list(run_dir.iterdir()) == []
    assert probe.quick([]) == 1
    loop.close()


def test_a_link_to_a_directory_is_not_used(run_dir, tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o700)
    run_dir.symlink_to(tmp_path / "theirs")
    assert rundir.fault(str(run_dir)) == "it is no directory"


def test_a_long_name_still_gets_a_socket(run_dir):
    path = rundir.socket_path("/run/user/1000/skirret", 123456, "w" * 300 + "@h/\n")
    assert len(path) <= rundir.MAX_PATH
    assert path.startswith("/run/user/1000/skirret/123456-www")
    assert path.endswith(".sock")


def test_arguments_that_need_reading_are_left_to_the_command_line(run_dir, cli_health):
    assert probe.quick(["--help"]) is None
    assert cli_health("--help").exit_code == 0
    assert cli_health("--timeout", "0.1").exit_code == 1


@pytest.fixture
def cli_health():
    from click.testing import CliRunner

    from skirret.cli.root import root

    return lambda *words: CliRunner().invoke(root, ["health", *words])
