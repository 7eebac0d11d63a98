"""What a broker promises about messages that wait for their time."""
# ruff: noqa: S101  an exam asserts

from __future__ import annotations

import time

import pytest

from skirret.brokers.base import Broker, Consumer
from skirret.testing.conformance.broker_fixtures import BrokerFixtures, MakeConsumer, needs
from skirret.testing.conformance.material import Later, eventually, ids, message, take

HOUR = 3600.0
SOON = 0.04


class DelayPromises(BrokerFixtures):
    """Not before, and soon after."""

    @pytest.fixture
    def waits(self, broker: Broker) -> None:
        """Skips where the broker declares that it cannot delay."""
        if not broker.capabilities.delayed:
            pytest.skip("the broker declares that it cannot delay")

    @pytest.mark.usefixtures("waits")
    def test_a_delayed_message_is_not_delivered_before_its_time(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        due = time.time() + SOON
        broker.publish([message("later", queue, due=due), message("never", queue, due=due + HOUR)])
        assert ids(take(consumer, 1)) == ["later"]
        assert time.time() >= due
        self.nothing_comes(consumer)

    @pytest.mark.usefixtures("waits")
    def test_a_waiting_take_delivers_a_message_as_its_time_comes(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        due = time.time() + SOON
        broker.publish([message("later", queue, due=due)])
        assert ids(take(consumer, 1)) == ["later"]
        assert time.time() - due < 1.0 + broker.capabilities.delay_step

    @pytest.mark.usefixtures("waits")
    def test_a_take_that_waits_for_one_time_wakes_for_a_sooner_one(
        self, broker: Broker, second_broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        broker.publish([message("far", queue, due=time.time() + HOUR)])
        sent = Later(lambda: second_broker.publish([message("near", queue, due=time.time() + SOON)]))
        assert ids(take(consumer, 1)) == ["near"]
        sent.result()

    @pytest.mark.usefixtures("waits")
    def test_delayed_messages_come_in_the_order_of_their_times(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        now, step = time.time(), broker.capabilities.delay_step
        dues = {"third": now + 0.03 + 3 * step, "first": now + 0.01 + step, "second": now + 0.02 + 2 * step}
        broker.publish([message(name, queue, due=due) for name, due in dues.items()])
        eventually(lambda: broker.size(queue).ready == 3)
        assert ids(take(consumer, 3)) == ["first", "second", "third"]

    @pytest.mark.usefixtures("waits")
    def test_a_message_whose_time_came_stands_behind_those_that_were_ready(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        broker.publish([message("delayed", queue, due=time.time() + 0.3)])  # busy machines take their time to the next
        broker.publish([message("ready", queue)])
        eventually(lambda: broker.size(queue).ready == 2)
        assert ids(take(consumer, 2)) == ["ready", "delayed"]

    @pytest.mark.usefixtures("waits")
    def test_a_delayed_message_keeps_its_priority(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        if not broker.capabilities.priorities:
            pytest.skip("the broker declares that it has no priorities")
        broker.publish([message("urgent", queue, priority=9, due=time.time() + 0.01), message("plain", queue)])
        eventually(lambda: broker.size(queue).ready == 2)
        assert ids(take(consumer, 2)) == ["urgent", "plain"]

    def test_a_time_in_the_past_is_now(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish([message("old", queue, due=time.time() - HOUR), message("zero", queue, due=0.0)])
        assert sorted(ids(take(consumer, 2))) == ["old", "zero"]

    @pytest.mark.usefixtures("waits")
    def test_delayed_messages_are_counted_apart(self, broker: Broker, second_broker: Broker, queue: str) -> None:
        needs(broker, "lists_delayed")
        broker.publish([message("now", queue), message("later", queue, due=time.time() + HOUR)])
        size = second_broker.size(queue)
        assert (size.ready, size.held, size.delayed, size.dead) == (1, 0, 1, 0)

    @pytest.mark.usefixtures("waits")
    def test_delayed_messages_are_listed_the_soonest_first(
        self, broker: Broker, second_broker: Broker, queue: str, other_queue: str
    ) -> None:
        needs(broker, "lists_delayed")
        now = time.time()
        broker.publish([message("b", queue, due=now + 2 * HOUR), message("a", other_queue, due=now + HOUR)])
        broker.publish([message("c", queue, priority=9, due=now + 3 * HOUR), message("ready", queue)])
        listed = second_broker.delayed()
        assert [one.task_id for one in listed] == ["a", "b", "c"]
        assert [one.queue for one in listed] == [other_queue, queue, queue]
        assert [one.due for one in listed] == pytest.approx([now + HOUR, now + 2 * HOUR, now + 3 * HOUR], abs=0.01)
        assert [one.task_id for one in broker.delayed(queue)] == ["b", "c"]
        assert [one.task_id for one in broker.delayed(limit=1)] == ["a"]

    @pytest.mark.usefixtures("waits")
    def test_a_delayed_message_is_repeated_as_little_as_another(
        self, broker: Broker, queue: str, make_consumer: MakeConsumer
    ) -> None:
        needs(broker, "lists_delayed")
        due = time.time() + HOUR
        broker.publish([message("later", queue, due=due, nonce="same")])
        broker.publish([message("later", queue, due=due, nonce="same")])
        assert broker.size(queue).delayed == 1
        self.nothing_comes(make_consumer())
