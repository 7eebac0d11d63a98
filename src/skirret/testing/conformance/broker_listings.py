"""What a broker promises to who looks: sizes, listings, purges and dead letters."""
# ruff: noqa: S101  an exam asserts

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest

from skirret.brokers.base import Broker, Consumer, QueueSize
from skirret.outcome import Ack, DeadLetter, Defer
from skirret.testing.conformance.broker_fixtures import BrokerFixtures, MakeConsumer
from skirret.testing.conformance.material import ids, message, messages, take, take_one

HOUR = 3600.0


def bury(broker: Broker, consumer: Consumer, queue: str, names: Iterable[str]) -> None:
    """Make dead letters of new messages, one after another."""
    for name in names:
        broker.publish([message(name, queue, priority=3)])
        consumer.settle([DeadLetter(tag=take_one(consumer).tag, reason=f"{name} failed")])


class ListingPromises(BrokerFixtures):
    """Looking changes nothing; dropping drops what it says."""

    def test_an_unknown_queue_is_empty(self, broker: Broker) -> None:
        assert broker.size("never-heard-of") == QueueSize()
        assert broker.dead("never-heard-of") == []

    def test_a_size_counts_every_kind(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        bury(broker, consumer, queue, ["dead"])
        broker.publish(messages("abcde", queue))
        take(consumer, 2)
        expected = QueueSize(ready=3, held=2, dead=1)
        if broker.capabilities.lists_delayed:
            broker.publish([message("later", queue, due=time.time() + HOUR)])
            expected = QueueSize(ready=3, held=2, delayed=1, dead=1)
        assert broker.size(queue) == expected

    def test_sizes_are_of_one_queue(self, broker: Broker, consumer: Consumer, queue: str, other_queue: str) -> None:
        bury(broker, consumer, queue, ["dead"])
        broker.publish(messages("ab", queue))
        take(consumer, 1)
        assert broker.size(other_queue) == QueueSize()

    def test_a_queue_with_only_held_messages_is_named(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish([message("one", queue)])
        take(consumer, 1)
        assert queue in broker.names()

    def test_peek_shows_the_next_messages_and_leaves_them(
        self, broker: Broker, second_broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        if not broker.capabilities.peek:
            pytest.skip("the broker declares that it cannot peek")
        broker.publish(messages("abcde", queue))
        for _ in range(2):
            assert [one.task_id for one in second_broker.peek(queue, 3)] == ["a", "b", "c"]
        seen = broker.peek(queue)
        assert [(one.queue, one.due, one.deliveries) for one in seen] == [(queue, None, 0)] * 5
        assert broker.size(queue).ready == 5
        assert [one.raw for one in take(consumer, 5)] == [one.raw for one in seen]
        assert broker.peek(queue) == []

    def test_peek_shows_the_order_of_the_run(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        if not broker.capabilities.peek or not broker.capabilities.priorities:
            pytest.skip("the broker declares that it cannot peek, or has no priorities")
        broker.publish([message(f"{priority}{n}", queue, priority=priority) for n in "ab" for priority in (0, 9, 4)])
        seen = broker.peek(queue)
        assert [one.task_id for one in seen] == ["9a", "9b", "4a", "4b", "0a", "0b"]
        assert [one.priority for one in seen] == [9, 9, 4, 4, 0, 0]
        assert ids(take(consumer, 6)) == [one.task_id for one in seen]

    def test_peek_shows_how_often_a_message_was_delivered(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        if not broker.capabilities.peek:
            pytest.skip("the broker declares that it cannot peek")
        broker.publish([message("one", queue)])
        for _ in range(2):
            consumer.settle([Defer(tag=take_one(consumer).tag, counted="delivery")])
        assert [one.deliveries for one in broker.peek(queue)] == [2]

    def test_a_purge_drops_what_waits_and_says_how_many(
        self, broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str
    ) -> None:
        if not broker.capabilities.purge:
            pytest.skip("the broker declares that it cannot purge")
        consumer = make_consumer()
        bury(broker, consumer, queue, ["dead"])
        broker.publish([*messages("abcd", queue), message("other", other_queue)])
        held = take_one(consumer)
        delayed = int(broker.capabilities.lists_delayed)
        if delayed:
            later = time.time() + HOUR
            broker.publish([message("later", queue, due=later), message("later", other_queue, due=later)])
        assert broker.purge(queue) == 3 + delayed
        assert broker.size(queue) == QueueSize(held=1, dead=1)
        assert broker.size(other_queue) == QueueSize(ready=1, delayed=delayed)
        self.nothing_comes(consumer)
        assert consumer.settle([Ack(tag=held.tag)]) == [True]
        assert broker.purge(queue) == broker.purge("never-heard-of") == 0

    def test_dead_letters_are_listed_the_newest_first(
        self, broker: Broker, second_broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str
    ) -> None:
        bury(broker, make_consumer(), queue, ["a", "b"])
        bury(broker, make_consumer(other_queue), other_queue, ["x"])
        bury(broker, make_consumer(), queue, ["c"])
        listed = second_broker.dead()
        assert [one.task_id for one in listed] == ["c", "x", "b", "a"]
        assert [one.reason for one in listed] == ["c failed", "x failed", "b failed", "a failed"]
        assert [one.task_id for one in broker.dead(queue)] == ["c", "b", "a"]
        assert [one.task_id for one in broker.dead(limit=2)] == ["c", "x"]
        assert len({one.key for one in listed}) == 4

    def test_replayed_letters_go_home_with_fresh_counters(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish([message("one", queue)])
        for counted in ("crash", "delivery"):
            consumer.settle([Defer(tag=take_one(consumer).tag, counted=counted)])
        held = take_one(consumer)
        consumer.settle([DeadLetter(tag=held.tag, reason="no")])
        (letter,) = broker.dead(queue)
        assert broker.replay([letter.key, "no-such-key"]) == 1
        assert broker.dead(queue) == []
        again = take_one(consumer)
        assert (again.raw, again.queue, again.deliveries, again.crashes) == (held.raw, queue, 0, 0)
        assert broker.replay([letter.key]) == 0
        self.nothing_comes(consumer)

    def test_a_replayed_letter_keeps_its_priority(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        if not broker.capabilities.priorities:
            pytest.skip("the broker declares that it has no priorities")
        bury(broker, consumer, queue, ["urgent"])
        broker.publish([message("plain", queue)])
        broker.replay([one.key for one in broker.dead(queue)])
        assert ids(take(consumer, 2)) == ["urgent", "plain"]

    def test_a_replay_wakes_a_waiting_take_and_may_die_again(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        bury(broker, consumer, queue, ["one"])
        first = broker.dead(queue)[0].key
        broker.replay([first])
        consumer.settle([DeadLetter(tag=take_one(consumer).tag, reason="again")])
        (letter,) = broker.dead(queue)
        assert letter.reason == "again"
        assert letter.key != first

    def test_dropped_letters_are_gone(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        bury(broker, consumer, queue, ["a", "b", "c"])
        keys = {one.task_id: one.key for one in broker.dead(queue)}
        assert broker.drop_dead([keys["a"], keys["b"], "no-such-key"]) == 2
        assert [one.task_id for one in broker.dead(queue)] == ["c"]
        assert broker.size(queue).dead == 1
        assert broker.replay([keys["a"]]) == broker.drop_dead([keys["a"]]) == 0
        self.nothing_comes(consumer)

    def test_asking_for_no_letters_does_nothing(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        bury(broker, consumer, queue, ["one"])
        assert broker.replay([]) == broker.drop_dead([]) == 0
        assert broker.size(queue).dead == 1
