"""A worker goes into the background wholly, takes on who it is told to be, and what fails at its start is seen."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import skirret
from skirret.worker.pidfile import lives, owner
from tests.acceptance.faulty import Project, wait_until, worker_children
from tests.acceptance.processes import run, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.delenv("SKIRRET_HOME", raising=False)
    project = Project(tmp_path, module="daemon_app")
    yield project
    project.app.close()


@contextlib.contextmanager
def background(
    project: Project, options: str, env: dict[str, str] | None = None, program: str = "skirret"
) -> Iterator[int]:
    """A worker in the background for the length of a ``with`` block; its process id."""
    status, said = run(f"{program} -A daemon_app worker -D {options}", project.directory, project.env | (env or {}))
    found = re.search(r"runs in the background: process (\d+), log ", said)
    assert found, said
    assert status == 0
    pid = int(found.group(1))
    try:
        yield pid
    finally:
        if lives(pid):
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not lives(pid))


def test_a_detached_worker_has_no_terminal_and_its_files_say_where_it_is(project):
    with background(project, "-n w1@%h -c 2 --pidfile=%n.pid --logfile=logs/%n%I.log -l INFO") as pid:
        pidfile, log = project.directory / "w1.pid", project.directory / "logs" / "w1.log"
        assert pidfile.read_text() == f"{pid}\n"
        assert owner(str(pidfile)) == pid
        assert "ready." in log.read_text()
        _, outputs, session, terminal = project.send("who").get(timeout=20)
        assert outputs == [os.devnull, str(log), str(log)]
        assert session != pid  # it leads no session, so it can never get a terminal
        assert session != os.getsid(0)
        assert terminal == "0"
        own = project.send("who", queue=f"w1@{socket.gethostname()}.dq2").get(timeout=20)
        assert own[1] == outputs
        childs_log = [path.name for path in log.parent.iterdir() if "asked who I am" in path.read_text()]
        assert set(childs_log) <= {"w1-1.log", "w1-2.log"}
        assert childs_log
        status, said = run("skirret -A daemon_app worker -n w1@ --pidfile=%n.pid", project.directory, project.env)
        assert (status, f"belongs to process {pid}" in said) == (78, True)
    assert not pidfile.exists()


@pytest.mark.parametrize("executable", [False, True])
def test_what_is_wrong_at_the_start_is_said_where_the_command_was_typed(project, executable):
    (project.directory / "daemon_app.py").write_text("raise ValueError('this module is broken')")
    options = f"--executable={sys.executable}" if executable else ""
    status, said = run(f"skirret -A daemon_app worker -D {options}", project.directory, project.env)
    assert status == 78
    assert "ValueError: this module is broken" in said


def test_a_worker_takes_on_who_it_is_told_to_be_before_it_imports_the_app(project):
    group = 1 if os.geteuid() == 0 else os.getgid()
    with background(project, f"-c 1 --uid={os.geteuid()} --gid={group} --umask=027"):
        (gid, groups, umask), *_ = project.send("who").get(timeout=20)
    assert (gid, umask) == (group, 0o27)
    assert os.geteuid() != 0 or group in groups


def test_the_settings_may_say_it_too_and_the_app_is_then_imported_as_that(project):
    group = 1 if os.geteuid() == 0 else os.getgid()
    text = (project.directory / "daemon_app.py").read_text()
    more = (
        f"app.conf.update(worker_uid={os.geteuid()}, worker_gid={group}, worker_umask='027', worker_pidfile='%n.pid')"
    )
    (project.directory / "daemon_app.py").write_text(f"{text}\n{more}\n")
    with background(project, "-c 1") as pid:
        assert (project.directory / "skirret.pid").read_text() == f"{pid}\n"
        (gid, _, umask), *_ = project.send("who").get(timeout=20)
    assert (gid, umask) == (group, 0o27)


def reachable_python(user: int) -> tuple[str, dict[str, str]]:
    """A Python that another user may run, and what it needs to find all that this one finds; "" if there is none."""
    source = Path(skirret.__file__).parents[1]
    env = {"PYTHONPATH": f"{source}{os.pathsep}{sysconfig.get_path('purelib')}"}
    for found in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            probe = [found, "-c", "import skirret.cli.root, msgspec"]
            subprocess.run(probe, user=user, extra_groups=[], env=env, check=True, capture_output=True)
            return found, env
    return "", {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can become another user")
def test_a_worker_that_root_starts_for_nobody_runs_its_tasks_as_nobody_and_leaves_nothing_of_roots(monkeypatch):
    nobody = pwd.getpwnam("nobody")
    python, env = reachable_python(nobody.pw_uid)
    if not python:
        pytest.skip("every Python of this version lies where other users may not go")
    monkeypatch.delenv("SKIRRET_HOME", raising=False)
    with tempfile.TemporaryDirectory(prefix="skirret-nobody-") as name:  # pytest's own directories are root's alone
        directory = Path(name)
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        project = Project(directory, module="daemon_app")
        files = "--pidfile=%n.pid --logfile=logs/%n.log -l INFO"
        options, program = f"-c 2 -n w1@%h --uid nobody {files}", f"{python} -m skirret"
        with background(project, options, env, program) as pid, contextlib.closing(project.app):
            assert owners(pid) == {nobody.pw_uid}
            (gid, groups, _), *_ = project.send("who").get(timeout=20)
            assert (gid, groups) == (nobody.pw_gid, os.getgrouplist("nobody", nobody.pw_gid))
            made = [directory / "w1.pid", directory / "logs" / "w1.log"]
            assert {path.stat().st_uid for path in made} == {nobody.pw_uid}
        assert not (directory / "w1.pid").exists()


def owners(worker: int) -> set[int]:
    """The users, by all their ids, that a worker and its processes run as."""
    template, children = worker_children(worker)
    found: set[int] = set()
    for pid in (worker, template, *children):
        (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid:"))
        found |= set(map(int, line.split()[1:]))
    return found


def test_children_are_started_afresh_where_forking_is_not_wanted(project):
    with background(project, "-c 1 --pool-start-method=spawn --logfile=%n.log"):
        assert "skirret.worker.child.spawned" in project.send("command").get(timeout=20)


def test_with_c_fakefork_a_worker_stays_where_it_was_started(project):
    env = project.env | {"C_FAKEFORK": "1"}
    with running("skirret -A daemon_app worker -D -l INFO -B", project.directory, env) as it:
        it.wait_until_it_says("ready.")
        assert it.said().count("-B: this version has no scheduler inside yet") == 1
        assert it.stop() == 0


@pytest.fixture
def multi(project: Project):
    """``skirret multi`` in the project; what it started is ended with the test."""

    def call(words: str) -> tuple[int, str]:
        return run(f"skirret -A daemon_app multi {words} --pidfile=run/%n.pid", project.directory, project.env)

    yield call
    for file in (project.directory / "run").glob("*.pid"):
        if pid := owner(str(file)):
            os.kill(pid, signal.SIGKILL)


def test_several_workers_start_serve_restart_and_stop_by_their_names(project, multi):
    def pids() -> list[int]:
        return [owner(str(project.directory / "run" / f"{name}.pid")) for name in ("a", "b")]

    options = "-c 1 --logfile=log/%n%I.log -l:b INFO"
    status, said = multi(f"start a b {options}")
    assert status == 0, said
    assert said.count(": OK") == 2
    first = pids()
    assert all(first)
    assert {project.send("who", queue=f"{name}@{socket.gethostname()}.dq2").get(timeout=20)[1][1] for name in "ab"} == {
        str(project.directory / "log" / f"{name}.log") for name in "ab"
    }
    assert (project.directory / "log" / "b.log").read_text().count("INFO") > 0
    status, said = multi(f"start a {options}")
    assert (status, f"belongs to process {first[0]}" in said) == (1, True), said
    status, said = multi(f"restart a b {options}")
    assert status == 0, said
    second = pids()
    assert all(second)
    assert not set(first) & set(second)
    status, said = multi("stopwait a b")
    assert (status, pids()) == (0, [0, 0]), said
    assert said.count(": TERM -> ") == 2
    status, said = multi("stop a b")
    assert (status, said.count(": DOWN")) == (0, 2)


def test_a_stop_that_waits_for_a_task_says_so_and_kill_does_not_wait(project, multi):
    assert multi("start a -c 1 --logfile=%n.log")[0] == 0
    pid = owner(str(project.directory / "run" / "a.pid"))
    project.send("sleep", 60)
    wait_until(lambda: project.size().held == 1)
    status, said = multi("stop a")
    assert (status, f"process {pid} finishes its tasks first" in said) == (1, True), said
    assert multi("kill a")[0] == 0
    assert not lives(pid)
