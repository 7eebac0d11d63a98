"""RabbitMQ sits the exam, on quorum queues and on classic ones; each test has a virtual host that can be cut off."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import settings

from skirret.brokers.open import open_broker
from skirret.testing.conformance import BrokerExam
from skirret.testing.conformance.material import eventually
from tests.servers.proxy import Proxy


@pytest.fixture(scope="session")
def proxy(rabbitmq):
    found = Proxy(rabbitmq.port)
    yield found
    found.close()


class Sitting(BrokerExam):
    """What both kinds of queues have in common."""

    examples = max(10, settings.default.max_examples // 40)  # 10, and 50 in long runs
    steps = 30
    quiet = 0.1
    options: ClassVar[dict[str, object]]

    @pytest.fixture
    def url(self, rabbitmq, proxy):
        with rabbitmq.host() as host:
            yield f"amqp://guest:guest@127.0.0.1:{proxy.port}/{host}"

    @pytest.fixture
    def broker(self, url):
        self.client = broker = open_broker(url, self.options)
        yield broker
        broker.close()

    @pytest.fixture
    def second_broker(self, url):
        broker = open_broker(url, {**self.options, "heartbeat": 119})  # so that nothing is shared with the first
        yield broker
        broker.close()

    @pytest.fixture
    def outage(self, proxy):
        return proxy.down

    def vanish(self, consumer):
        """The server sees its connection end; until then nobody calls it."""
        self.lost = [*getattr(self, "lost", []), consumer]

    def outwait(self, clock, reaper, *alive):
        lost, self.lost = getattr(self, "lost", []), []
        returned = sum(self.perish(consumer) for consumer in lost)
        for one in (reaper, *alive):
            assert one.beat()
            assert one.reap() == 0
        return returned

    def perish(self, consumer):
        """Cut a consumer off for good; how many of its messages went back to their queues."""
        limit = consumer._limits.deliveries
        held = [found for found in consumer._held.values() if found.tag]
        consumer._lane.drop()
        consumer._held.clear()
        consumer._lost.clear()
        for queue in {found.queue for found in held}:
            mine = [found for found in held if found.queue == queue]
            eventually(lambda queue=queue, mine=mine: self.client.size(queue).ready >= len(mine))
            # A message that came back too often is buried by the next consumer that the server gives it to.
            if any(found.letter.deliveries + 1 >= limit for found in mine):
                self.meet(queue, consumer._limits)
        return sum(found.letter.deliveries + 1 < limit for found in held)

    def meet(self, queue, limits):
        """Let a consumer see what is in a queue, and leave."""
        other = self.client.consumer([queue], "f" * 32, limits=limits)
        other.take(1000, self.quiet)
        other.close()


class TestQuorumQueues(Sitting):
    """What is made where nothing is said."""

    options: ClassVar = {}


class TestClassicQueues(Sitting):
    """As Celery makes them, with priorities."""

    options: ClassVar = {"queue_type": "classic", "delay_queue_type": "classic", "queue_max_priority": 9}
