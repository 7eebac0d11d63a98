"""Celery's ladder of delays on RabbitMQ, in both directions: days pass in seconds, as a policy shortens its levels."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator

import kombu
import pytest
from kombu.transport import native_delayed_delivery as native

from skirret import Queue, Skirret, clock
from skirret.app import moments
from skirret.brokers.amqp import ladder as steps
from tests.interop.fleet import OURS, THEIRS, Fleet
from tests.servers.rabbitmq_servers import RabbitServer
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore::celery.exceptions.DuplicateTaskNameWarning"),
]

DAYS = 3 * 86_400
FASTER = 2**16
"""By how much: three days are four seconds then."""

SOON = DAYS / FASTER


def hurry(server: RabbitServer, host: str) -> None:
    """Let each level hold its messages for as much less time; what it was declared with stays as it is."""
    for level in range(28):
        ttl = max(1, 2**level * 1000 // FASTER)
        server.set_policy(host, f"^celery_delayed_{level}$", {"message-ttl": ttl}, name=f"level-{level}")


@pytest.fixture(scope="module")
def fleet(rabbitmq: RabbitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Quorum queues at topic exchanges, so that Celery uses its ladder; whose time flies."""
    directory = tmp_path_factory.mktemp("delays")
    results = RedisServer(redis_binary(), directory / "redis")
    try:
        with rabbitmq.host() as host:
            hurry(rabbitmq, host)
            fleet = Fleet(rabbitmq, directory, rabbitmq.url_of(host), results.url)
            fleet.env |= {"FLEET_QUEUES": "quorum", "FLEET_EXCHANGE": "topic"}
            with fleet.clients(), fleet.our_worker(OURS, "-c 1"), fleet.their_worker(THEIRS, "-c 1"):
                yield fleet
    finally:
        results.stop()


@pytest.mark.parametrize("side, queue", [(THEIRS, OURS), (OURS, THEIRS), (OURS, OURS)])
def test_a_countdown_of_days_is_kept_by_the_ladder_and_ends_at_its_time(fleet, monkeypatch, side, queue):
    """The client's clock is behind by as much as the ladder is too fast: for workers the time comes when it ends."""
    behind = DAYS - SOON
    wall, utc_now, now = clock.wall, clock.utc_now, fleet.theirs.now
    monkeypatch.setattr(clock, "wall", lambda: wall() - behind)
    monkeypatch.setattr(moments, "utc_now", lambda: utc_now() - dt.timedelta(seconds=behind))
    monkeypatch.setattr(fleet.theirs, "now", lambda: now() - dt.timedelta(seconds=behind))
    began = time.time()
    result = fleet.client(side).send_task("jobs.when", queue=queue, countdown=DAYS)
    monkeypatch.undo()
    broker = fleet.ours.broker
    waits = [level for level in range(28) if broker.size(f"celery_delayed_{level}").ready]
    assert waits == [17], "the highest binary digit of its delay in seconds"
    ran = result.get(timeout=30)
    assert SOON - 0.2 <= ran - began < SOON + 4.0


@pytest.mark.parametrize("kind", ["quorum", "classic"])
@pytest.mark.parametrize("first", [OURS, THEIRS])
def test_both_sides_declare_the_same_ladder(rabbitmq, rabbitmq_host, kind, first):
    """Who comes second is refused if anything is otherwise; and afterwards there is nothing that one of them lacks."""
    url = rabbitmq.url_of(rabbitmq_host)

    def ours() -> None:
        with Skirret("ours", broker=url, set_as_current=False) as app:
            app.conf.broker_native_delayed_delivery_queue_type = kind
            app.conf.task_queues = [Queue(name="q", exchange="x", exchange_type="topic", routing_key="a.b")]
            app.broker.declare(list(app.queues.values()))

    def theirs() -> None:
        queue = kombu.Queue("q", kombu.Exchange("x", "topic"), "a.b")
        with kombu.Connection(url) as connection:
            native.declare_native_delayed_delivery_exchanges_and_queues(connection, kind)
            queue(connection).exchange(connection).declare()
            native.bind_queue_to_native_delayed_delivery_exchange(connection, queue)

    order = (ours, theirs) if first == OURS else (ours_queue(url), theirs, ours)
    order[0]()
    before = ladder(rabbitmq, rabbitmq_host)
    for declare in order[1:]:
        declare()
    after = ladder(rabbitmq, rabbitmq_host)
    assert len(after) == 28 + 27 + 1
    if first == OURS:
        assert after == before, "Celery added nothing"


def ours_queue(url: str):
    """Only the queue, for Celery to bind."""

    def declare() -> None:
        with kombu.Connection(url) as connection:
            kombu.Queue("q", kombu.Exchange("x", "topic"), "a.b", queue_arguments={"x-queue-type": "quorum"})(
                connection
            ).declare()

    return declare


def ladder(server: RabbitServer, host: str) -> set[str]:
    """All bindings from one level's exchange to a queue or to the next level."""
    told = server.ask(
        '[io_lib:format("~s|~s|~s", [S, K, D]) || '
        "{binding, {resource, _, exchange, S}, K, {resource, _, _, D}, _} "
        f'<- rabbit_binding:list(<<"{host}">>), S =/= <<>>, binary:match(S, <<"celery_delayed_">>) =/= nomatch, '
        'binary:match(D, <<"celery_delayed_">>) =/= nomatch]'
    )
    return set(told.split("],[")) if told != "[]" else set()


def test_the_keys_of_delays_are_celerys():
    for seconds in (1, 10, 86_400, DAYS, 2**28 - 1):
        for key in ("celery", "media.video", native.calculate_routing_key(5, "again")):
            assert steps.key(seconds, key) == native.calculate_routing_key(seconds, key)
    assert [steps.level(number) for number in range(28)] == [native.level_name(number) for number in range(28)]
