"""Lines to Redis that break, hang, crawl or forget: workers consume again by themselves, and nobody waits for ever."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from skirret.errors import BackendError, OperationalError
from tests.acceptance.faulty import wait_until
from tests.acceptance.processes import Program
from tests.acceptance.redis_load import SAFE, RedisProject, left_over
from tests.servers.proxy import Proxy
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

RECOVERY = 5.0
"""Seconds after which workers consume again, once the server answers."""

REFUSAL = 5.5
"""Seconds after which a call has ended, one way or the other."""


class Line:
    """A server, the proxy before it, and a project whose processes all go through the proxy."""

    def __init__(self, directory: Path) -> None:
        self.server = RedisServer(redis_binary(), directory / "server", *SAFE)
        self.proxy = Proxy(self.server.port)
        self.project = RedisProject(directory, f"redis://127.0.0.1:{self.proxy.port}/0")
        self.project.env["SKIRRET_WORKER_LEASE"] = "6"  # shorter than the faults are long

    def close(self) -> None:
        self.project.app.close()
        self.proxy.close()
        self.server.stop()


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.delenv("SKIRRET_HOME")
    line = Line(tmp_path)
    yield line
    line.close()


class Waiters:
    """Threads that wait for results all the time, each for a task that it has just sent itself."""

    def __init__(self, project: RedisProject, count: int = 3) -> None:
        self.project = project
        self.over = False
        self.got = 0
        self.errors: list[Exception] = []
        self.slowest_send = 0.0
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def _run(self) -> None:
        while not self.over:
            began = time.monotonic()
            try:
                result = self.project.send("empty")
            except OperationalError:
                continue
            finally:
                self.slowest_send = max(self.slowest_send, time.monotonic() - began)
            deadline = time.monotonic() + 40
            while True:
                try:
                    result.get(timeout=max(0.1, deadline - time.monotonic()))
                    self.got += 1
                    break
                except BackendError:  # the store did not answer for its deadline: whoever waits may ask again
                    if time.monotonic() > deadline:
                        raise
                except Exception as exc:
                    self.errors.append(exc)
                    break

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        for thread in self.threads:
            thread.join(45)
        assert not any(thread.is_alive() for thread in self.threads), "a get() hangs"
        assert not self.errors, self.errors
        assert self.got


@contextlib.contextmanager
def two_workers_under_load(line: Line, rate: float = 100.0) -> Iterator[None]:
    """Two workers, a producer and waiting calls around a fault; afterwards nothing is lost, repeated or left."""
    project = line.project
    with project.worker("-c 2 -n one@%h") as one, project.worker("-c 2 -n two@%h") as two:
        with Waiters(project) as waiters, project.producer(rate):
            time.sleep(0.3)
            before = descriptors(one, two)
            yield
        project.settle_down()
        after = descriptors(one, two)
        assert one.stop() == 0
        assert two.stop() == 0
        said = one.said() + two.said()
    sent = project.sent()
    print(project.judge(), f"slowest call {sent.slowest:.2f} s, {waiters.slowest_send:.2f} s in a thread")
    assert after <= before + 8, f"{before} descriptors before, {after} afterwards"
    assert "Took over" not in said
    assert "lease" not in said
    assert "Traceback" not in said
    assert max(sent.slowest, waiters.slowest_send) <= REFUSAL
    verdict = project.judge()
    assert not verdict.lost, verdict
    assert not verdict.early, verdict
    assert not verdict.torn, verdict
    assert verdict.again == 0, verdict
    assert left_over(line.server) == []


def descriptors(*workers: Program) -> int:
    """How many files and sockets the supervisors have open."""
    return sum(1 for worker in workers for _ in Path(f"/proc/{worker.pid}/fd").iterdir())


def recovered(line: Line) -> float:
    """Seconds until a task is run that was sent after now."""
    back = time.monotonic()
    took = wait_until(lambda: line.project.consumes_since(back), 30.0)
    print(f"consuming again after {took:.3f} s")
    return took


def test_killed_clients_come_back(line: Line) -> None:
    with two_workers_under_load(line):
        for _ in range(20):
            line.server.ask("CLIENT", "KILL", "TYPE", "normal")
            line.server.ask("CLIENT", "KILL", "TYPE", "pubsub")
            time.sleep(0.2)
        assert recovered(line) <= RECOVERY


def test_scripts_that_the_server_forgot_are_sent_again(line: Line) -> None:
    with two_workers_under_load(line):
        for _ in range(20):
            line.server.ask("SCRIPT", "FLUSH")
            time.sleep(0.05)
        assert recovered(line) <= 1.0


def test_a_server_that_restarts_is_found_again(line: Line) -> None:
    with two_workers_under_load(line):
        line.server.restart()
        assert recovered(line) <= RECOVERY


def test_a_server_that_stands_still_makes_nobody_give_up_and_nobody_greedy(line: Line) -> None:
    with two_workers_under_load(line):
        with line.server.paused():
            time.sleep(8.0)
        assert recovered(line) <= RECOVERY


def test_a_network_that_swallows_everything_for_a_while_is_outlived(line: Line) -> None:
    with two_workers_under_load(line):
        line.proxy.frozen = True
        time.sleep(12.0)
        line.proxy.frozen = False  # what was swallowed stays so, and nobody is told
        assert recovered(line) <= RECOVERY


def test_half_open_lines_are_noticed(line: Line) -> None:
    with two_workers_under_load(line):
        line.proxy.abandon()
        assert recovered(line) <= RECOVERY


def test_idle_lines_that_are_half_open_are_noticed_before_a_task_comes(line: Line) -> None:
    project = line.project
    with project.worker("-c 2") as worker:
        project.send("empty").get(timeout=10)
        line.proxy.abandon()
        time.sleep(6.0)
        project.app.close()  # the producer is a process that has just begun
        began = time.monotonic()
        project.send("empty").get(timeout=10)
        assert time.monotonic() - began <= 1.0
        assert worker.stop() == 0


def test_a_slow_network_is_no_fault(line: Line) -> None:
    line.proxy.delay = 0.1
    with two_workers_under_load(line, rate=10.0):  # what is not settled yet bounds what may run, so a slow line is thin
        time.sleep(8.0)
        assert recovered(line) <= RECOVERY
        line.proxy.delay = 0.0


def test_a_server_that_forgets_everything_is_served_on(line: Line) -> None:
    project = line.project
    with project.worker("-c 2") as worker:
        project.send_many("short", list(range(50)), 0.05)
        wait_until(lambda: project.count("end"))
        line.server.ask("FLUSHALL")
        began = time.monotonic()
        assert project.send("die_once", "after").get(timeout=15) == "lived"
        assert time.monotonic() - began <= RECOVERY
        assert "others have taken over" in worker.said()
        assert worker.stop() == 0
        assert "Traceback" not in worker.said()
    assert left_over(line.server) == []
