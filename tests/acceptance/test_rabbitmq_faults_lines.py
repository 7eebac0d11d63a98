"""RabbitMQ that takes nothing, loses patience, deletes queues or falls silent: workers go on, and no call hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from skirret.errors import OperationalError
from tests.acceptance.faulty import wait_until
from tests.acceptance.rabbitmq_load import QUEUE, RabbitProject, project_on
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq_servers import RabbitServer, binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def project(
    rabbitmq: RabbitServer, rabbitmq_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RabbitProject]:
    monkeypatch.delenv("SKIRRET_HOME")
    project = project_on(rabbitmq, rabbitmq_host, tmp_path)
    yield project
    project.app.close()


def test_a_server_without_memory_takes_no_messages_and_says_why_while_workers_go_on(
    project: RabbitProject, rabbitmq: RabbitServer
) -> None:
    project.send_many("short", [f"before-{n}" for n in range(30)], 0.02)
    with project.worker("-c 2") as worker:
        wait_until(lambda: project.count("end"))
        with rabbitmq.blocked():
            began = time.monotonic()
            with pytest.raises(OperationalError, match=r"takes no messages now \(low on memory\)"):
                project.send("short", "blocked")
            assert time.monotonic() - began < 5.5
            # What is there is still run.
            wait_until(lambda: len(project.count("end")) == 30, 10.0)
            wait_until(lambda: not project.left(), 10.0)
        assert project.send("empty").get(timeout=10) is None
        assert worker.stop() == 0
    assert set(project.count("start").values()) <= {1, 2}


def test_a_task_that_outlasts_the_servers_patience_runs_once_and_is_acknowledged_once(
    project: RabbitProject, rabbitmq: RabbitServer
) -> None:
    """RabbitMQ 3.10 does not heed what the queue asks for."""
    usual = 1800.0
    rabbitmq.set_consumer_timeout(1.0)
    try:
        with project.worker("-c 1 --time-limit 3600") as worker:
            worker.wait_until_it_says("Tasks may run for 3600 s here")
            result = project.send("short", "long", 4.0)
            assert result.get(timeout=20) is None
            wait_until(lambda: not project.left(), 10.0)
            assert project.send("empty").get(timeout=10) is None
            assert worker.stop() == 0
    finally:
        rabbitmq.set_consumer_timeout(usual)
    assert "longer than its consumer_timeout allows" in worker.said(), f"the server was patient:\n{worker.said()}"
    assert project.count("start")["long"] == 1
    assert project.left() == {}


def test_a_queue_that_is_deleted_under_a_worker_is_made_again_and_consumed(
    project: RabbitProject, rabbitmq: RabbitServer, rabbitmq_host: str
) -> None:
    """The next call makes it again, so soon that RabbitMQ tells the consumers of the old one nothing."""
    with project.worker("-c 1 -n one@%h") as one, project.worker("-c 1 -n two@%h") as two:
        assert project.send("empty").get(timeout=10) is None
        name = f"rabbit_misc:r({binary(rabbitmq_host)}, queue, {binary(QUEUE)})"
        rabbitmq.ask(
            f'{{ok, Queue}} = rabbit_amqqueue:lookup({name}), rabbit_amqqueue:delete(Queue, false, false, <<"tests">>)'
        )
        began = time.monotonic()
        calls = [project.send("parent") for _ in range(10)]
        assert {call.get(timeout=10) for call in calls}
        print(f"consumed again after {time.monotonic() - began:.1f} s")
        # The other one, too, once it is needed.
        pids = set()
        while len(pids) < 2:
            assert time.monotonic() - began < 15.0, "only one of them consumes"
            pids |= {call.get(timeout=10) for call in [project.send("parent") for _ in range(10)]}
        assert one.stop() == 0
        assert two.stop() == 0


def test_a_line_on_which_nothing_comes_any_more_is_given_up_and_replaced(
    rabbitmq: RabbitServer, rabbitmq_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half-open: what is sent is swallowed, and nobody is told; a new line works."""
    monkeypatch.delenv("SKIRRET_HOME")
    proxy = Proxy(rabbitmq.port)
    project = project_on(rabbitmq, rabbitmq_host, tmp_path)
    project.env["SKIRRET_BROKER_URL"] = f"amqp://127.0.0.1:{proxy.port}/{quote(rabbitmq_host, '')}"
    try:
        with project.worker("-c 1") as worker:
            assert project.send("empty").get(timeout=10) is None
            proxy.abandon()
            began = time.monotonic()
            assert project.send("empty").get(timeout=25) is None
            print(f"noticed after {time.monotonic() - began:.1f} s")
            assert worker.stop() == 0
    finally:
        project.app.close()
        proxy.close()
