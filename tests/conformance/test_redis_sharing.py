"""The Redis broker beside others: fairness, foreign producers, kombu's layout, and what idle workers cost."""

from __future__ import annotations

import itertools
import json
import re
import secrets
import subprocess
import sys
import time

import kombu
import pytest

from skirret.brokers.base import Queue
from skirret.brokers.open import open_broker
from skirret.brokers.redis import consumer as consumers
from skirret.outcome import Ack, Defer, Release
from skirret.testing.conformance.material import Later, eventually, id_of, ids, message, messages, take
from skirret.wire import envelope
from tests.servers.redis_servers import RedisServer, redis_binary

_queues = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(redis_binary(), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def queue(server):
    server.ask("FLUSHALL")
    return f"q{next(_queues)}"


@pytest.fixture
def open_(request, server):
    """Opens brokers that are closed in the end."""

    def opened(**options):
        broker = open_broker(server.url, {"client_name": f"c{next(_queues)}", **options})
        request.addfinalizer(broker.close)
        return broker

    return opened


@pytest.fixture
def broker(open_, queue):
    return open_()


@pytest.fixture
def consume(request):
    """Makes consumers that are closed in the end."""

    def consumed(broker, *queues):
        consumer = broker.consumer(queues, secrets.token_hex(16))
        request.addfinalizer(consumer.close)
        return consumer

    return consumed


@pytest.fixture
def celery_side(server):
    with kombu.Connection(server.url) as connection:
        yield connection


def commands(server):
    """How many commands the server has carried out, those of scripts included."""
    told = server.ask("INFO", "stats").decode()
    return int(re.search(r"total_commands_processed:(\d+)", told).group(1))


def raw(queue, task_id):
    return envelope.encode(message(task_id, queue))


# -- priorities -------------------------------------------------


@pytest.mark.parametrize(
    "order, expected",
    [("guide", ["9", "8", "7", "5", "4", "1", "0"]), ("celery", ["1", "0", "5", "4", "8", "7", "9"])],
)
def test_priorities_use_kombus_lists_in_the_order_that_was_asked_for(open_, consume, queue, order, expected):
    broker = open_(priority_order=order)
    by_step = {"0": 0, "1": 0, "4": 3, "5": 3, "7": 6, "8": 6, "9": 9}
    broker.publish([message(name, queue, priority=int(name)) for name in sorted(by_step, reverse=True)])
    seen = [one.task_id for one in broker.peek(queue)]
    taken = ids(take(consume(broker, queue), 7))
    assert taken == seen
    steps = [by_step[name] for name in taken]
    assert steps == sorted(steps, reverse=order == "guide")
    assert taken == sorted(expected, key=lambda name: (steps.index(by_step[name]), -int(name)))


def test_kombu_finds_each_priority_where_it_looks_for_it(broker, queue, celery_side):
    broker.declare([Queue(name=queue, exchange="mine", routing_key="some.key")])
    broker.publish([message(str(priority), queue, priority=priority) for priority in (0, 3, 6, 9, 5)])
    channel = celery_side.channel()
    simple = kombu.Queue(queue, kombu.Exchange("mine"), "some.key")(channel)
    found = [simple.get(no_ack=True).headers["id"] for _ in range(5)]
    assert found == ["0", "3", "5", "6", "9"], "for kombu on Redis, 0 is the highest"
    assert channel.get_table("mine") == [("some.key", "", queue)]


def test_what_is_declared_reaches_the_queue_through_kombus_exchanges(broker, consume, queue, celery_side):
    broker.declare([Queue(name=queue, exchange="topics", routing_key="news.*", exchange_type="topic")])
    producer = celery_side.Producer()
    exchange = kombu.Exchange("topics", type="topic")
    producer.publish({"a": 1}, exchange=exchange, routing_key="news.today", declare=[exchange])
    producer.publish({"a": 1}, exchange=exchange, routing_key="weather.today", declare=[exchange])
    taken = consume(broker, queue).take(10, 1.0)
    assert [json.loads(one.raw)["properties"]["delivery_info"]["routing_key"] for one in taken] == ["news.today"]


# -- foreign producers ------------------------------------------


@pytest.mark.parametrize("priority", [0, 3, 6, 9])
def test_a_foreign_message_in_any_list_is_found_in_a_quarter_of_a_second(broker, open_, consume, queue, priority):
    consumer = consume(broker, queue)
    assert consumer.take(1, 0.05) == []
    later = Later(lambda: (consumer.take(1, 10.0), time.monotonic()))
    assert not later.done.wait(0.1)
    foreign = open_()
    start = time.monotonic()
    foreign.inject(queue, raw(queue, "x"), priority)
    taken, end = later.result()
    assert ids(taken) == ["x"]
    assert end - start < 0.35  # 0.25, and what a busy machine adds


def test_bytes_of_others_come_back_as_they_were(broker, consume, queue):
    strange = b'{"body": "\\u0000", "n": 12345678901234567890, "e": [], "x": 1.50}\xff\x00\r\n'
    broker.inject(queue, strange)
    consumer = consume(broker, queue)
    (held,) = take(consumer, 1)
    assert held.raw == strange
    consumer.settle([Defer(tag=held.tag, due=time.time() + 0.02, counted="delivery")])
    (held,) = take(consumer, 1)
    assert (held.raw, held.deliveries) == (strange, 1)
    consumer.settle([Release(tag=held.tag)])
    (held,) = take(consumer, 1)
    assert (held.raw, held.deliveries) == (strange, 1)
    assert consumer.settle([Ack(tag=held.tag)]) == [True]


def test_equal_bytes_are_as_many_messages(broker, consume, queue):
    same = raw(queue, "same")
    for _ in range(3):
        broker.inject(queue, same)
    consumer = consume(broker, queue)
    held = take(consumer, 3)
    due = time.time() + 0.02
    assert consumer.settle([Defer(tag=one.tag, due=due) for one in held]) == [True] * 3
    assert broker.size(queue).delayed + broker.size(queue).ready == 3
    assert len(take(consumer, 3)) == 3


def test_counts_of_messages_that_others_took_are_forgotten(server, broker, consume, queue):
    broker.publish([message("x", queue)])
    consumer = consume(broker, queue)
    consumer.settle([Defer(tag=take(consumer, 1)[0].tag, counted="crash")])
    assert server.ask("EXISTS", f"skirret:counts:{queue}") == b":1\r\n"
    server.ask("RPOP", queue)
    assert consumer.take(1, 0.05) == []
    assert server.ask("EXISTS", f"skirret:counts:{queue}") == b":0\r\n"


# -- fairness ---------------------------------------------------


def test_a_backlog_of_a_hundred_thousand_starves_nobody(server, broker, consume, queue):
    one = "x" * 20
    for _ in range(100):
        server.ask("LPUSH", queue, *[one] * 1000)
    consumer = consume(broker, queue, "other")
    broker.publish(messages("abc", "other"))
    start = time.monotonic()
    batch = consumer.take(6, 1.0)
    assert sorted(one.queue for one in batch) == sorted([queue] * 3 + ["other"] * 3)
    assert time.monotonic() - start < 0.5
    consumer.settle([Ack(tag=one.tag) for one in batch])
    broker.publish(messages("de", "other"))
    for _ in range(2):
        assert sorted(one.queue for one in (*consumer.take(1, 1.0), *consumer.take(1, 1.0))) == sorted([queue, "other"])


def test_a_take_has_a_bound_in_bytes(broker, consume, queue):
    broker.publish([message(str(n), queue, body=b"x" * 1_500_000) for n in range(12)])
    consumer = consume(broker, queue)
    first = consumer.take(100, 1.0)
    assert 1 <= len(first) < 12
    rest = take(consumer, 12 - len(first))
    assert sorted(ids([*first, *rest]), key=int) == [str(n) for n in range(12)]


# -- waking -----------------------------------------------------


@pytest.fixture
def only_bells(monkeypatch):
    """Workers that do not look by themselves: what is found was rung for."""
    monkeypatch.setattr(consumers, "LOOK_SECONDS", 30.0)
    monkeypatch.setattr(consumers, "TAKE_SECONDS", 30.0)


@pytest.mark.usefixtures("only_bells")
def test_a_message_wakes_one_worker_and_many_wake_many(server, broker, consume, queue):
    consumers = [consume(broker, queue) for _ in range(4)]
    waiting = [Later(lambda one=one: one.take(1, 5.0)) for one in consumers]
    eventually(lambda: server.ask("SCARD", f"skirret:idle:{queue}") == b":4\r\n")
    broker.publish([message("one", queue)])
    eventually(lambda: any(later.done.is_set() for later in waiting))
    assert server.ask("SCARD", f"skirret:idle:{queue}") == b":3\r\n"
    broker.publish(messages(["two", "three", "four"], queue))
    taken = [task for later in waiting for task in ids(later.result())]
    assert sorted(taken) == ["four", "one", "three", "two"]


@pytest.mark.usefixtures("only_bells")
def test_a_worker_that_is_gone_does_not_swallow_the_bell(server, broker, consume, queue):
    broker.publish([message("first", queue)])
    take(consume(broker, queue), 1)
    for number in range(8):
        gone = broker.consumer([queue], f"gone-{number}")
        assert gone.take(1, 0.05) == []
        gone._bell.close()
    consumer = consume(broker, queue)
    later = Later(lambda: (consumer.take(1, 5.0), time.monotonic()))
    eventually(lambda: server.ask("SCARD", f"skirret:idle:{queue}") == b":9\r\n")
    for name, publish in (("x", broker.publish), ("y", lambda batch: broker.publish([*batch, message("z", "other")]))):
        start = time.monotonic()
        publish([message(name, queue)])
        taken, end = later.result()
        assert ids(taken) == [name]
        assert end - start < 1.0
        for number in range(8):
            server.ask("SADD", f"skirret:idle:{queue}", f"gone-{number}")
        later = Later(lambda: (consumer.take(1, 5.0), time.monotonic()))
        eventually(lambda: server.ask("SCARD", f"skirret:idle:{queue}") == b":9\r\n")
    consumer.interrupt()
    later.result()


def test_who_found_work_by_looking_is_not_among_those_that_wait(server, broker, consume, queue):
    consumer = consume(broker, queue)
    later = Later(lambda: consumer.take(1, 5.0))
    eventually(lambda: server.ask("SCARD", f"skirret:idle:{queue}") == b":1\r\n")
    broker.inject(queue, raw(queue, "x"))
    assert ids(later.result()) == ["x"]
    assert server.ask("SCARD", f"skirret:idle:{queue}") == b":0\r\n"


@pytest.mark.usefixtures("only_bells")
def test_who_takes_a_message_passes_on_when_the_next_one_is_due(server, broker, consume, queue):
    workers = [consume(broker, queue) for _ in range(2)]
    for _ in range(8):  # whom a bell wakes is up to chance
        waiting = [Later(lambda one=one: (one.take(1, 5.0), time.time())) for one in workers]
        eventually(lambda: server.ask("SCARD", f"skirret:idle:{queue}") == b":2\r\n")
        due = time.time() + 0.3
        broker.publish([message("later", queue, due=due)])
        broker.publish([message("now", queue)])
        came = {ids(taken)[0]: moment for taken, moment in (later.result() for later in waiting)}
        assert due <= came["later"] < due + 0.2


def test_an_idle_worker_asks_ten_times_a_second_at_most(server, broker, consume, queue):
    consumer = consume(broker, queue, "another", "a-third")
    consumer.take(1, 0.05)
    before = commands(server)
    start = time.monotonic()
    while time.monotonic() - start < 5.0:  # as the worker does: a beat, a look at the others, and a wait
        assert consumer.beat()
        consumer.reap()
        assert consumer.take(1, 5.0) == []
    spent = commands(server) - before - 1
    assert spent / (time.monotonic() - start) <= 10.0


# -- greenlets --------------------------------------------------

GREENLETS = """
from gevent import monkey; monkey.patch_all()
import gevent, sys, time
from skirret.brokers.open import open_broker
from skirret.brokers.redis import consumer as consumers
from skirret.outcome import Ack
from skirret.testing.conformance.material import ids, message

broker = open_broker(sys.argv[1])
consumer = broker.consumer(["green"], "green")
ticks = []

def tick():
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0.01)

ticker = gevent.spawn(tick)
taken = gevent.spawn(lambda: consumer.take(1, 5.0))
gevent.sleep(0.3)
assert len(ticks) > 15, "waiting stopped the others"
gevent.joinall([gevent.spawn(broker.publish, [message(str(n), "green")]) for n in range(50)], raise_error=True)
held = taken.get()
while len(held) < 50:
    held += consumer.take(50, 1.0)
assert sorted(ids(held), key=int) == [str(n) for n in range(50)]
assert all(consumer.settle([Ack(tag=one.tag) for one in held]))
gevent.spawn_later(0.1, consumer.interrupt)
start = time.monotonic()
assert consumer.take(1, 5.0) == [] and time.monotonic() - start < 2.0
consumer.close()
print("fine")
"""


def test_greenlets_go_on_while_one_of_them_waits(server, queue):
    ran = subprocess.run(
        [sys.executable, "-c", GREENLETS, server.url], capture_output=True, text=True, timeout=50, check=False
    )
    assert ran.stdout == "fine\n", ran.stderr


def test_released_messages_come_back_in_their_order(broker, consume, queue):
    broker.publish(messages("abcdef", queue))
    consumer = consume(broker, queue)
    held = take(consumer, 4)
    consumer.settle([Release(tag=one.tag) for one in held])
    assert [id_of(one.raw) for one in take(consumer, 6)] == list("abcdef")


def test_a_delayed_message_goes_celerys_way_where_only_celerys_workers_are(server, broker, queue, consume):
    later = message("later", queue, due=time.time() + 60)
    server.ask("SADD", "_kombu.binding.celery.pidbox", "w1@h.celery.pidbox")
    broker.publish([later])
    size = broker.size(queue)
    assert (size.ready, size.delayed) == (1, 0), "nobody of ours would ever move it"
    consumer = consume(broker, queue)
    consumer.beat()
    broker.publish([message("kept", queue, due=time.time() + 60)])
    assert broker.size(queue).delayed == 1, "a worker of ours beats for this queue"
