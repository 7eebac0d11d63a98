"""RabbitMQ 4 sits the exam that 3.10 sits in test_rabbitmq."""

from __future__ import annotations

import pytest

from skirret.brokers.open import open_broker
from skirret.outcome import Ack
from skirret.testing.conformance.material import message, take_one
from tests.conformance.test_rabbitmq import TestClassicQueues, TestQuorumQueues
from tests.servers.proxy import Proxy

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]  # the first run installs another Debian

__all__ = ["TestClassicQueues", "TestQuorumQueues"]


@pytest.fixture(scope="module")
def rabbitmq(rabbitmq4):
    return rabbitmq4


@pytest.fixture(scope="module")
def proxy(rabbitmq):
    found = Proxy(rabbitmq.port)
    yield found
    found.close()


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_a_queue_of_ours_lets_a_worker_hold_a_message_for_longer_than_the_server_would(rabbitmq, rabbitmq_host, kind):
    """RabbitMQ 3.10 takes a queue's own patience and passes over it; since 3.11.15 it is heeded."""
    rabbitmq.set_consumer_timeout(0.5)
    try:
        broker = open_broker(rabbitmq.url_of(rabbitmq_host), {"queue_type": kind})
        broker.publish([message("long", "q")])
        consumer, other = broker.consumer(["q"], "c" * 32), broker.consumer(["q"], "d" * 32)
        held = take_one(consumer)
        consumer.rest()
        assert other.take(1, 2.0) == []
        assert consumer.settle([Ack(tag=held.tag)]) == [True]
        for one in (consumer, other, broker):
            one.close()
    finally:
        rabbitmq.set_consumer_timeout(1800)
