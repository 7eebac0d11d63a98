"""Real workers on Redis whose queues change while they run: nothing strays, whoever dies."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.faulty import wait_until
from tests.acceptance.processes import Program, run
from tests.acceptance.redis_load import RedisProject
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CHANGER = Path(__file__).with_name("queue_changer.py")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(redis_binary(), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def project(server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisProject]:
    monkeypatch.delenv("SKIRRET_HOME")
    server.ask("FLUSHALL")
    project = RedisProject(tmp_path, server.url)
    yield project
    project.app.close()


@contextlib.contextmanager
def changeable(project: RedisProject, queues: str, concurrency: int) -> Iterator[Program]:
    """A real worker that is told over a pipe what to consume."""
    command = f"{sys.executable} {CHANGER} faults_app {queues} {concurrency}"
    env = {**project.env, "PYTHONPATH": ":".join(sys.path)}
    program = Program(command, project.directory, env, stdin=subprocess.PIPE)
    try:
        program.wait_until_it_says("ready")
        yield program
    finally:
        program.end()


def begins(project: RedisProject, *keys: str) -> None:
    wait_until(lambda: project.count("start").keys() >= set(keys))


def test_a_dead_workers_messages_go_back_each_to_its_own_queue_after_its_queues_changed(
    project: RedisProject, server: RedisServer
) -> None:
    app = project.app
    with changeable(project, "a", 6) as holder:
        for n in range(2):
            project.send("short", f"a{n}", 600, queue="a")
        begins(project, "a0", "a1")
        holder.hears("add b\nadd c\n")
        for queue in "bc":
            project.send("short", f"{queue}0", 600, queue=queue)
        begins(project, "b0", "c0")
        server.ask("CLIENT", "KILL", "TYPE", "normal")  # its lines break; it reconnects with the queues that it has now
        project.send("short", "b1", 600, queue="b")
        begins(project, "b1")
        holder.hears("cancel a\ncancel c\n")
        holder.wait_until_it_says("cancel c: True")
        project.send("short", "b2", 600, queue="b")
        begins(project, "b2")
        project.send("quick", "a-left-alone", queue="a")
        assert {queue: app.broker.size(queue).held for queue in "abc"} == {"a": 2, "b": 3, "c": 1}
        holder.process.send_signal(signal.SIGKILL)
        holder.process.wait()
    with project.worker("-c 1 -Q elsewhere") as other:
        wait_until(lambda: not any(app.broker.size(queue).held for queue in "abc"))
        other.wait_until_it_says("Took over 6 message(s)")
        assert other.stop() == 0
    assert {queue: app.broker.size(queue).ready for queue in "abc"} == {"a": 3, "b": 3, "c": 1}
    waiting = {queue: sorted(one.deliveries for one in app.broker.peek(queue)) for queue in "abc"}
    assert waiting == {"a": [0, 1, 1], "b": [1, 1, 1], "c": [1]}


def test_a_queue_paused_on_the_command_line_stays_paused_when_workers_restart(project: RedisProject) -> None:
    skirret = f"skirret -b {project.env['SKIRRET_BROKER_URL']}"
    with project.worker("-c 1 -Q a,b") as worker:
        assert run(f"{skirret} queues pause a", project.directory) == (0, "a: paused\n")
        worker.wait_until_it_says("Queue 'a' is paused")
        project.send("quick", "a1", queue="a")
        project.send("quick", "b1", queue="b").get(timeout=10)
        assert worker.stop() == 0
    with project.worker("-c 1 -Q a,b") as worker:
        project.send("quick", "b2", queue="b").get(timeout=10)
        assert project.app.broker.size("a").ready == 1
        assert run(f"{skirret} queues resume a", project.directory) == (0, "a: resumed\n")
        begins(project, "a1")
        assert "Queue 'a' is resumed" in worker.said()
        assert worker.stop() == 0
    assert set(project.count("start").values()) == {1}
