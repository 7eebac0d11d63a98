"""A backlog does not slow takes: counted in SQLite's own steps, which no load of the machine changes."""

from __future__ import annotations

import statistics
import time
import uuid

import pytest

from skirret.brokers.sqlite import taking
from skirret.outcome import Ack
from skirret.testing.conformance.material import message


def fill(broker, count, queue="q", priority=0, **options):
    for start in range(0, count, 1000):
        size = min(1000, count - start)
        broker.publish([message(f"{start + n}", queue, priority=priority, nonce="", **options) for n in range(size)])


def steps(consumer, work):
    """Steps of SQLite's machine that `work` takes on the consumer's connection."""
    count = 0

    def step():
        nonlocal count
        count += 1
        return 0

    connection = consumer._session.connection
    connection.set_progress_handler(step, 1)
    try:
        work()
    finally:
        connection.set_progress_handler(None, 1)
    return count


def take_and_settle(consumer, limit):
    taken = consumer.take(limit, 0)
    assert len(taken) == limit
    assert all(consumer.settle([Ack(tag=one.tag) for one in taken]))


@pytest.mark.parametrize("limit", [1, 100])
def test_a_take_and_its_settlement_cost_the_same_with_ten_times_the_backlog(broker, consume, limit):
    consumer = consume("other", "q")
    fill(broker, 1500)
    take_and_settle(consumer, limit)  # compiles the statements
    few = steps(consumer, lambda: take_and_settle(consumer, limit))
    fill(broker, 15_000)
    fill(broker, 2000, priority=5)
    fill(broker, 2000, due=time.time() + 3600)
    many = steps(consumer, lambda: take_and_settle(consumer, limit))
    assert many <= few * 1.5


def test_looking_at_a_long_queue_costs_as_little_as_at_a_short_one(broker, consume):
    consumer = consume()
    fill(broker, 10)
    consumer._look()
    few = steps(consumer, consumer._look)
    fill(broker, 5000)
    assert steps(consumer, consumer._look) <= few


def test_a_take_reads_its_queue_in_order_and_sorts_nothing(broker, store):
    with store.reading() as connection:
        plan = " / ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {taking._NEXT}", ("q", 10)))
    assert "SEARCH r USING PRIMARY KEY (queue=?)" in plan
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_backlog_of_a_million_does_not_slow_takes_by_more_than_half(broker):
    consumer = broker.consumer(["q"], uuid.uuid4().hex)

    def median():
        times = []
        for _ in range(30):
            start = time.perf_counter()
            taken = consumer.take(200, 0)
            times.append(time.perf_counter() - start)
            consumer.settle([Ack(tag=one.tag) for one in taken])
        return statistics.median(times)

    fill(broker, 8000)
    few = median()
    fill(broker, 1_000_000)
    assert median() <= few * 1.5
    consumer.close()
