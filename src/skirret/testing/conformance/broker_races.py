"""What a broker promises where several incarnations reach for the same work at once."""
# ruff: noqa: S101  an exam asserts

from __future__ import annotations

import threading

from skirret.brokers.base import Broker
from skirret.outcome import Ack
from skirret.testing.conformance.broker_fixtures import BrokerFixtures, MakeConsumer, needs
from skirret.testing.conformance.material import HandClock, at_once, eventually, ids, messages, take


class RacePromises(BrokerFixtures):
    """Who comes second has lost nothing, and doubled nothing."""

    def test_many_reapers_at_once_take_over_once(
        self, broker: Broker, second_broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        needs(broker, "fences")
        broker.publish(messages([str(n) for n in range(30)], queue))
        lost = make_consumer()
        take(lost, 30)
        self.vanish(lost)

        in_step = threading.Barrier(4)

        def reap(number: int) -> int:
            mine = HandClock()
            reaper = self.consume([broker, second_broker][number % 2], ["nothing-here"], mine)
            reaper.reap()
            returned = 0
            for _ in range(int(self.LEASE / self.BEAT) + 1):
                in_step.wait(30.0)  # or a slow reaper's lease would pass by the clock of a fast one
                mine.advance(self.BEAT)
                assert reaper.beat()
                in_step.wait(30.0)
                returned += reaper.reap()
            reaper.close()
            return returned

        assert sum(at_once(4, reap)) == 30
        heir = make_consumer()
        again = take(heir, 30)
        assert len(set(ids(again))) == 30
        assert {one.deliveries for one in again} == {1}

    def test_a_take_that_races_with_the_reaper_loses_nothing(
        self, broker: Broker, second_broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        """Work that a consumer takes while it is being reaped is either refused or comes back."""
        needs(broker, "fences")
        count = 60
        broker.publish(messages([str(n) for n in range(count)], queue))
        acked: list[str] = []

        def work(number: int) -> None:
            mine = HandClock()
            consumer = self.consume([broker, second_broker][number % 2], [queue], mine)
            for step in range(40):
                batch = consumer.take(3, 0.0)
                flags = consumer.settle([Ack(tag=one.tag) for one in batch])
                acked.extend(task for task, done in zip(ids(batch), flags, strict=True) if done)
                if number == 0:
                    continue  # never beats: it is reaped while it takes
                mine.advance(self.BEAT)
                if not consumer.beat():
                    consumer = self.consume(broker, [queue], mine)  # fenced: a new incarnation
                if step % 2:
                    consumer.reap()
            if number:
                consumer.close()

        at_once(3, work)
        heir = make_consumer()
        self.outwait(clock, heir)
        rest: list[str] = []
        while batch := heir.take(100, self.quiet):
            rest += ids(batch)
        assert len(acked) == len(set(acked)), "an acked message was delivered again"
        assert not set(acked) & set(rest), "an acked message was delivered again"
        assert len(acked) + len(rest) == count, "a message was lost"
        assert eventually(lambda: broker.size(queue).ready == 0)
