"""A real worker tells how it is: over HTTP, to ``skirret health``, to the init system; and frees itself when stuck."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.faulty import Project, wait_until
from tests.acceptance.processes import run
from tests.servers.redis_servers import RedisServer, free_port, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# A consumer that is stuck: the first one of a worker, as soon as the file STUCK is there. Its session hangs in a call,
# or goes on beating and brings nothing. It is planted where Python looks for what a site wants to have loaded first.
PLANT = """
import os, threading, time

if os.environ["SERVER"] == "redis":
    from skirret.brokers.redis.consumer import RedisConsumer as Consumer
else:
    from skirret.brokers.sqlite.consumer import SqliteConsumer as Consumer

whole, first = Consumer.take, []

def take(self, limit, timeout):
    if not first:
        first.append(self)
    if self is first[0] and os.path.exists(os.environ["STUCK"]):
        open(os.environ["STUCK"] + ".seen", "w").close()
        if os.environ["HOW"] == "hangs":
            threading.Event().wait()
        time.sleep(min(timeout, 0.1))
        return []
    return whole(self, limit, min(timeout, 0.5))

Consumer.take = take
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.delenv("SKIRRET_HOME", raising=False)
    project = Project(tmp_path, module="daemon_app")
    project.env["SKIRRET_RUN_DIR"] = str(tmp_path / "run")
    yield project
    project.app.close()


@pytest.fixture(params=["sqlite", "redis"])
def served(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project on each server."""
    monkeypatch.delenv("SKIRRET_HOME", raising=False)
    with contextlib.ExitStack() as ending:
        url = ""
        if request.param == "redis":
            server = RedisServer(redis_binary(), tmp_path / "redis")
            ending.callback(server.stop)
            url = server.url
        project = Project(tmp_path, url, module="daemon_app")
        ending.callback(project.app.close)
        project.env |= {"SKIRRET_RUN_DIR": str(tmp_path / "run"), "SERVER": request.param}
        yield project


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def test_a_worker_is_live_ready_and_counted(project):
    port = free_port()
    with project.worker(f"-n w1@h -c 2 --health {port}") as worker:
        assert get(port, "/livez") == (200, "ok\n")
        wait_until(lambda: get(port, "/readyz") == (200, "ok\n"))
        for _ in range(3):
            project.send("who").get(timeout=20)
        wait_until(lambda: 'skirret_settled_total{how="acknowledged"} 3.0' in get(port, "/metrics")[1])
        page = get(port, "/metrics")[1]
        assert 'skirret_tasks_total{state="SUCCESS",task="daemon_app.who"} 3.0' in page
        assert 'skirret_task_seconds_count{task="daemon_app.who"} 3.0' in page
        assert 'skirret_taken_total{queue="celery"} 3.0' in page
        assert "skirret_slots 2.0" in page
        assert "skirret_ready 1.0" in page
        status, said = run("skirret health -n w1@h --ready --json", project.directory, project.env)
        (state,) = json.loads(said)
        assert (status, state["pid"], state["slots"]) == (0, worker.pid, 2)
        project.send("sleep", 30)
        wait_until(lambda: get(port, "/metrics")[1].count("skirret_slots_busy 1.0"))
        worker.process.send_signal(signal.SIGTERM)
        wait_until(lambda: get(port, "/readyz")[0] == 503)
        assert "it is stopping" in get(port, "/readyz")[1]
        assert get(port, "/livez")[0] == 200  # who stops in order is not to be killed for it
        assert worker.stop(signal.SIGINT) == 0
    assert run("skirret health", project.directory, project.env)[0] == 1


def test_a_worker_whose_process_is_stopped_is_not_healthy(project):
    with project.worker("-c 1") as worker:
        worker.process.send_signal(signal.SIGSTOP)
        try:
            status, said = run("skirret health --timeout 0.3", project.directory, project.env)
        finally:
            worker.process.send_signal(signal.SIGCONT)
        assert (status, "it does not answer" in said) == (1, True)
        wait_until(lambda: run("skirret health", project.directory, project.env)[0] == 0)


@pytest.mark.parametrize("how", ["hangs", "brings nothing"])
def test_a_worker_whose_consumer_is_stuck_says_so_fails_its_probe_and_begins_a_new_session(served, how):
    (served.directory / "sitecustomize.py").write_text(PLANT)
    stuck, port = served.directory / "stuck", free_port()
    served.env |= {"PYTHONPATH": str(served.directory), "STUCK": str(stuck), "HOW": how}
    served.env["SKIRRET_WORKER_PROGRESS_TIMEOUT"] = "3"
    with served.worker(f"-c 1 --health {port}") as worker:
        served.send("who").get(timeout=20)
        stuck.touch()
        wait_until((served.directory / "stuck.seen").exists)
        results = [served.send("who") for _ in range(5)]
        worker.wait_until_it_says("This worker begins a whole new session with the broker.")
        assert "5 in 'celery'" in worker.said()
        for result in results:
            result.get(timeout=30)
        wait_until(lambda: get(port, "/livez") == (200, "ok\n"))
        worker.wait_until_it_says("Messages are taken again.")
        assert worker.stop() == 0
    assert served.size().held == 0


def test_while_it_is_stuck_a_worker_does_not_pass_for_alive(served):
    (served.directory / "sitecustomize.py").write_text(PLANT.replace("self is first[0] and ", ""))
    stuck, port = served.directory / "stuck", free_port()
    served.env |= {"PYTHONPATH": str(served.directory), "STUCK": str(stuck), "HOW": "brings nothing"}
    served.env["SKIRRET_WORKER_PROGRESS_TIMEOUT"] = "1"
    with served.worker(f"-c 1 --health {port}") as worker:
        stuck.touch()
        wait_until((served.directory / "stuck.seen").exists)
        result = served.send("who")
        worker.wait_until_it_says("Stuck: nothing was taken for")
        status, text = get(port, "/livez")
        assert (status, "messages wait (1 in 'celery')" in text) == (503, True)
        assert run("skirret health", served.directory, served.env)[0] == 1
        stuck.unlink()
        result.get(timeout=30)
        wait_until(lambda: get(port, "/livez")[0] == 200)


def test_the_init_system_is_told_of_start_progress_and_stop(project):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.settimeout(30)
    path = project.directory / "notify"
    sock.bind(str(path))
    project.env |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "2000000"}
    heard: list[str] = []

    def hear_until(words: str) -> None:
        while not any(text.startswith(words) for text in heard):
            heard.append(sock.recv(4096).decode())

    with sock, project.worker("-c 1") as worker:
        hear_until("READY=1")
        assert heard == ["READY=1"]
        hear_until("WATCHDOG=1")
        hear_until("STATUS=ready; 0 of 1 slots busy")
        heard.clear()
        worker.process.send_signal(signal.SIGHUP)  # begins anew, with the same process id
        hear_until("RELOADING=1")
        hear_until("READY=1")
        hear_until("WATCHDOG=1")
        assert not any(text.startswith("STOPPING") for text in heard)
        worker.process.send_signal(signal.SIGTERM)
        hear_until("STOPPING=1")
        assert worker.wait() == 0


# A loop that stands still as soon as the file STUCK is there, and a guard and probes with less patience.
STANDSTILL = """
import os, time
from skirret.worker import pulse, vitals, watchdog

vitals.LATE = 1.0
pulse.Guard.__init__.__defaults__ = (6.0, os._exit)
watchdog.Watchdog.look = lambda self: os.path.exists(os.environ["STUCK"]) and time.sleep(60)
"""


def test_a_worker_whose_loop_stands_still_fails_its_probes_and_ends_itself(project):
    (project.directory / "sitecustomize.py").write_text(STANDSTILL)
    stuck, port = project.directory / "stuck", free_port()
    project.env |= {"PYTHONPATH": str(project.directory), "STUCK": str(stuck)}
    with project.worker(f"-c 1 --health {port}") as worker:
        assert get(port, "/livez")[0] == 200
        stuck.touch()
        told = []

        def fails() -> bool:
            told.append(get(port, "/livez"))
            return told[-1][0] == 503

        wait_until(fails)
        assert "the worker's loop has stood still for" in told[-1][1]
        assert run("skirret health --timeout 0.2", project.directory, project.env)[0] == 1
        assert worker.wait() == 70
        assert "The worker's own loop has stood still for" in worker.said()
        assert "sitecustomize.py" in worker.said()  # what each thread was doing
