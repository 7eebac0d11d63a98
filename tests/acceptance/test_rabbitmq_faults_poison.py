"""Messages that kill whoever runs them: they end in the dead letters, and their neighbours succeed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pamqp import commands

from skirret.brokers.open import open_broker
from skirret.stores.amqp import frames
from skirret.stores.amqp.publishing import CHANNEL
from skirret.stores.amqp.session import Arrived, Session
from skirret.testing.conformance.material import eventually, ids, take
from tests.acceptance.faulty import wait_until
from tests.acceptance.processes import run
from tests.acceptance.rabbitmq_load import QUEUE, RabbitProject, project_on
from tests.servers.rabbitmq_servers import RabbitServer, binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NEIGHBOURS = [f"n{n}" for n in range(30)]


@pytest.fixture
def project(
    rabbitmq: RabbitServer, rabbitmq_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RabbitProject]:
    monkeypatch.delenv("SKIRRET_HOME")
    project = project_on(rabbitmq, rabbitmq_host, tmp_path)
    yield project
    project.app.close()


def test_a_task_that_kills_its_child_is_a_dead_letter_after_three_and_its_neighbours_succeed(
    project: RabbitProject,
) -> None:
    poison = project.send("die", "poison")
    neighbours = project.send_many("short", list(NEIGHBOURS))
    with project.worker("-c 2") as worker:
        assert [one.get(timeout=30) for one in neighbours] == [None] * len(NEIGHBOURS)
        wait_until(lambda: project.app.broker.dead(QUEUE), 20.0)
        assert worker.stop() == 0
    (dead,) = project.app.broker.dead(QUEUE)
    assert dead.task_id == poison.id
    assert project.count("start")["poison"] == 3
    assert all(project.count("start")[key] == 1 for key in NEIGHBOURS)
    assert project.left() == {}


LIMIT = 5


def _held(rabbitmq: RabbitServer, host: str) -> int:
    """How many messages of the queue the server waits to hear of."""
    where = f"{{resource, {binary(host)}, queue, {binary(QUEUE)}}}"
    asked = "ra:leader_query(amqqueue:get_pid(Q), fun rabbit_fifo:query_messages_checked_out/1)"
    return int(rabbitmq.ask(f"{{ok, Q}} = rabbit_amqqueue:lookup({where}), {{ok, {{_, N}}, _}} = {asked}, N"))


def test_a_task_whose_workers_die_is_a_dead_letter_after_the_limit_and_its_neighbours_succeed(
    project: RabbitProject, rabbitmq: RabbitServer, rabbitmq_host: str
) -> None:
    """It stands before its neighbours, of which each worker that dies of it holds some.

    The server counts a death against all that its worker held. So before its last life those that died with it are put
    off.
    """
    project.env["SKIRRET_WORKER_DELIVERY_LIMIT"] = str(LIMIT)
    poison = project.send("short", "poison", 600.0)
    neighbours = project.send_many("short", NEIGHBOURS[:8], 0.3)
    for n in range(LIMIT):
        with project.worker("-c 4") as worker:
            wait_until(lambda n=n: project.count("start")["poison"] > n)
            if n < LIMIT - 1:
                wait_until(lambda: _held(rabbitmq, rabbitmq_host) > 1)
                os.kill(worker.pid, signal.SIGSTOP)
                assert _held(rabbitmq, rabbitmq_host) > 1, "no neighbour died with it, and nothing is shown"
            os.kill(worker.pid, signal.SIGKILL)
            worker.process.wait()
    with project.worker("-c 4") as worker:
        assert [one.get(timeout=30) for one in neighbours] == [None] * len(neighbours)
        wait_until(lambda: project.app.broker.dead(QUEUE), 20.0)
        project.settle_down()
        assert worker.stop() == 0
    (dead,) = project.app.broker.dead(QUEUE)
    assert (dead.task_id, dead.deliveries) == (poison.id, LIMIT)
    starts = project.count("start")
    assert starts.pop("poison") == LIMIT
    assert 1 < max(starts.values()) <= LIMIT


def _get(session: Session) -> int | None:
    """Take a message as a stranger does; its tag."""
    got = session.call(CHANNEL, commands.Basic.Get(queue=QUEUE), Arrived, commands.Basic.GetEmpty, seconds=5.0)
    return got.tag if isinstance(got, Arrived) else None


def test_the_server_itself_gives_up_after_its_limit_and_loses_nothing(
    project: RabbitProject, rabbitmq: RabbitServer, rabbitmq_host: str
) -> None:
    """A stranger returns a message 25 times: more often than a queue of ours bears, or one of RabbitMQ 4 by default."""
    broker = open_broker(rabbitmq.url_of(rabbitmq_host), {})
    result = project.send("short", "often")
    session = broker.store.open()
    returns = 0
    for _ in range(25):
        got = _get(session)
        if got is None:
            break
        returns += 1
        session.settle(CHANNEL, frames.nack(CHANNEL, got), 5.0)
    session.close()
    assert returns == 21, "the limit is 20"
    eventually(lambda: broker.dead(QUEUE))
    status, said = run("skirret -A faults_app dead list", project.directory, project.env)
    assert (status, result.id in said, "delivery_limit" in said) == (0, True, True), said
    (dead,) = broker.dead(QUEUE)
    assert broker.replay([dead.key]) == 1
    consumer = broker.consumer([QUEUE], "a" * 32)
    (again,) = take(consumer, 1)
    assert (ids([again]), again.deliveries) == ([result.id], 0)
    consumer.close()
    broker.close()
