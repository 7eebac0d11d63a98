"""What a broker promises to who takes: order, fairness, waiting, and that nobody gets what another one has."""
# ruff: noqa: S101  an exam asserts

from __future__ import annotations

import time

import pytest

from skirret.brokers.base import Broker, Consumer
from skirret.errors import OperationalError
from skirret.outcome import Ack, Release
from skirret.testing.conformance.broker_fixtures import BrokerFixtures, MakeConsumer, Outage
from skirret.testing.conformance.material import (
    HandClock,
    Later,
    at_once,
    eventually,
    ids,
    message,
    messages,
    take,
    take_one,
)


def needs_priorities(broker: Broker) -> None:
    """Skip where the broker declares that it has none."""
    if not broker.capabilities.priorities:
        pytest.skip("the broker declares that it has no priorities")


class TakingPromises(BrokerFixtures):
    """One atomic step from ready to held."""

    def test_the_oldest_message_comes_first(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        names = [f"m{n}" for n in range(10)]
        for name in names:
            broker.publish([message(name, queue)])
        assert [ids(take(consumer, 1))[0] for _ in names] == names

    def test_the_highest_priority_comes_first(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        needs_priorities(broker)
        broker.publish([message(str(priority), queue, priority=priority) for priority in (0, 5, 9, 3, 1, 7)])
        assert ids(take(consumer, 6)) == ["9", "7", "5", "3", "1", "0"]

    def test_an_urgent_message_overtakes_what_waits(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        needs_priorities(broker)
        broker.publish(messages(["a", "b"], queue, priority=4))
        assert ids(take(consumer, 1)) == ["a"]
        broker.publish([message("urgent", queue, priority=9)])
        assert ids(take(consumer, 2)) == ["urgent", "b"]

    def test_priority_goes_before_the_turn_of_the_queues(
        self, broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str
    ) -> None:
        needs_priorities(broker)
        broker.publish(messages(["a", "b"], queue) + messages(["x", "y"], other_queue, priority=9))
        assert ids(take(make_consumer(queue, other_queue), 4)) == ["x", "y", "a", "b"]

    def test_queues_take_turns(self, broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str) -> None:
        broker.publish(messages([f"a{n}" for n in range(4)], queue) + messages(["b0", "b1"], other_queue))
        consumer = make_consumer(queue, other_queue)
        served = [take_one(consumer).queue for _ in range(4)]
        assert sorted(served) == sorted([queue, other_queue] * 2)
        assert ids(take(consumer, 2)) == ["a2", "a3"]

    def test_each_queue_gets_its_share_of_a_batch(
        self, broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str
    ) -> None:
        broker.publish(
            messages([f"a{n}" for n in range(20)], queue) + messages([f"b{n}" for n in range(20)], other_queue)
        )
        served = [delivery.queue for delivery in take(make_consumer(queue, other_queue), 10)]
        assert served.count(queue) == served.count(other_queue) == 5

    def test_queues_take_turns_within_each_priority(
        self, broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str
    ) -> None:
        needs_priorities(broker)
        for priority in (2, 8):
            broker.publish(messages(["a", "a"], queue, priority=priority))
            broker.publish(messages(["b", "b"], other_queue, priority=priority))
        consumer = make_consumer(queue, other_queue)
        for _ in range(4):
            assert sorted(ids([take_one(consumer), take_one(consumer)])) == ["a", "b"]

    def test_a_queue_that_is_alone_gets_the_whole_batch(
        self, broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str
    ) -> None:
        broker.publish(messages([f"b{n}" for n in range(10)], other_queue))
        assert len(take(make_consumer(queue, other_queue), 10)) == 10

    def test_a_take_is_never_more_than_its_limit(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish(messages("abcde", queue))
        assert 1 <= len(consumer.take(2, self.patience)) <= 2

    def test_a_take_does_not_wait_for_its_limit_to_fill(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish([message("one", queue)])
        start = time.monotonic()
        assert ids(consumer.take(100, 30.0)) == ["one"]
        assert time.monotonic() - start < self.patience

    def test_what_is_taken_is_held_and_no_longer_ready(
        self, broker: Broker, second_broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        broker.publish(messages("abc", queue))
        take(consumer, 2)
        size = second_broker.size(queue)
        assert (size.ready, size.held, size.delayed, size.dead) == (1, 2, 0, 0)

    def test_only_its_own_queues_are_served(
        self, broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str
    ) -> None:
        broker.publish([message("here", queue), message("there", other_queue)])
        consumer = make_consumer(queue)
        assert ids(take(consumer, 1)) == ["here"]
        self.nothing_comes(consumer)

    def test_queues_may_be_changed_while_work_is_held(
        self, broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str
    ) -> None:
        broker.publish([*messages("ab", queue), message("there", other_queue)])
        consumer = make_consumer(queue)
        held = take_one(consumer)
        consumer.queues([other_queue])
        assert ids(take(consumer, 1)) == ["there"]
        self.nothing_comes(consumer)
        assert consumer.settle([Ack(tag=held.tag)]) == [True]
        consumer.queues([queue, other_queue])
        assert ids(take(consumer, 1)) == ["b"]

    def test_work_goes_home_though_its_consumer_had_left_the_queue(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str, other_queue: str
    ) -> None:
        broker.publish([message("here", queue), message("there", other_queue)])
        lost = make_consumer(queue)
        take_one(lost)
        lost.queues([other_queue])
        take_one(lost)
        lost.queues([])
        assert lost.beat()
        self.vanish(lost)
        reaper = make_consumer("a-third-queue")
        assert self.outwait(clock, reaper) == 2
        self.nothing_comes(reaper)
        reaper.queues([other_queue])
        assert ids(take(reaper, 1)) == ["there"]
        self.nothing_comes(reaper)
        assert ids(take(make_consumer(queue), 1)) == ["here"]

    def test_a_consumer_of_no_queues_takes_nothing(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish([message("one", queue)])
        consumer.queues([])
        self.nothing_comes(consumer)
        assert consumer.beat()

    def test_an_empty_queue_is_waited_on_for_the_timeout(self, consumer: Consumer) -> None:
        start = time.monotonic()
        assert consumer.take(1, 0.05) == []
        assert 0.045 <= time.monotonic() - start < self.patience

    def test_a_take_without_a_timeout_does_not_wait(self, consumer: Consumer) -> None:
        start = time.monotonic()
        assert consumer.take(1, 0.0) == []
        assert time.monotonic() - start < 1.0

    def test_publishing_wakes_a_waiting_take(
        self, broker: Broker, second_broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str
    ) -> None:
        limit = 1.0 if broker.capabilities.push_wakeup else self.patience
        consumer = make_consumer(queue, other_queue)
        for name, where in (("one", queue), ("two", other_queue), ("three", queue)):
            sent: list[float] = []

            def publish(name: str = name, where: str = where, sent: list[float] = sent) -> None:
                time.sleep(0.02)  # so that the take is likely to wait by now; either way it must come
                second_broker.publish([message(name, where)])
                sent.append(time.monotonic())

            later = Later(publish)
            assert ids(take(consumer, 1)) == [name]
            later.result()
            assert time.monotonic() - sent[0] < limit

    def test_work_that_is_released_wakes_a_waiting_take(
        self, broker: Broker, make_consumer: MakeConsumer, queue: str, clock: HandClock
    ) -> None:
        broker.publish([message("one", queue)])
        holder = make_consumer()
        held = take_one(holder)

        def wait() -> list[str]:
            waiter = self.consume(broker, [queue], clock)
            try:
                return ids(take(waiter, 1))
            finally:
                waiter.close()

        later = Later(wait)
        assert not later.done.wait(0.02)
        assert holder.settle([Release(tag=held.tag)]) == [True]
        assert later.result() == ["one"]

    def test_an_interrupt_makes_a_waiting_take_return(self, consumer: Consumer) -> None:
        start = time.monotonic()

        def interrupt() -> None:
            time.sleep(0.03)  # so that the take is likely to wait by now; either way it must return
            consumer.interrupt()

        later = Later(interrupt)
        assert consumer.take(1, 30.0) == []
        assert time.monotonic() - start < self.patience
        later.result()

    def test_an_interrupt_that_comes_early_is_not_lost(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        consumer.interrupt()
        start = time.monotonic()
        assert consumer.take(1, 30.0) == []
        assert time.monotonic() - start < self.patience
        broker.publish([message("one", queue)])
        assert ids(take(consumer, 1)) == ["one"]

    def test_an_interrupt_is_used_up_by_one_take(self, consumer: Consumer) -> None:
        consumer.interrupt()
        consumer.take(1, 30.0)
        start = time.monotonic()
        assert consumer.take(1, 0.05) == []
        assert time.monotonic() - start >= 0.045

    def test_an_interrupt_loses_no_message(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish(messages("abcdefgh", queue))
        taken: list[str] = []
        for _ in range(8):
            consumer.interrupt()
            taken += ids(consumer.take(1, self.quiet))
        taken += ids(take(consumer, 8 - len(taken)))
        assert taken == list("abcdefgh")

    def test_a_first_delivery_counts_nothing(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish([message("one", queue)])
        delivery = take_one(consumer)
        assert (delivery.deliveries, delivery.crashes) == (0, 0)
        assert abs(delivery.first_delivered - time.time()) < 60.0

    def test_the_home_queue_is_told(
        self, broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str
    ) -> None:
        broker.publish([message("here", queue), message("there", other_queue)])
        deliveries = take(make_consumer(queue, other_queue), 2)
        assert dict(zip(ids(deliveries), [one.queue for one in deliveries], strict=True)) == {
            "here": queue,
            "there": other_queue,
        }

    def test_tags_are_unique_in_a_consumer(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish(messages("abcdef", queue))
        tags = [delivery.tag for delivery in take(consumer, 3)]
        consumer.settle([Release(tag=tag) for tag in tags])
        tags += [delivery.tag for delivery in take(consumer, 6)]
        assert len(set(tags)) == 9

    def test_a_consumer_knows_its_incarnation(self, make_consumer: MakeConsumer) -> None:
        consumer = make_consumer(cid="c0ffee" * 5)
        assert consumer.cid == "c0ffee" * 5
        assert not consumer.fenced

    def test_two_consumers_never_get_the_same_message(
        self, broker: Broker, second_broker: Broker, make_consumer: MakeConsumer, queue: str
    ) -> None:
        broker.publish(messages([str(n) for n in range(20)], queue))
        first, second = make_consumer(), make_consumer(queue, broker=second_broker)
        taken = ids(take(first, 7)) + ids(take(second, 5)) + ids(take(first, 8))
        assert sorted(taken, key=int) == [str(n) for n in range(20)]

    def test_many_takers_at_once_share_without_loss_or_double(
        self, broker: Broker, second_broker: Broker, clock: HandClock, queue: str
    ) -> None:
        count, threads = 240, 6
        clients = [broker, second_broker]

        def work(number: int) -> list[str]:
            mine: list[str] = []
            consumer = self.consume(clients[number % 2], [queue], clock)
            try:
                for k in range(count // threads):
                    clients[number % 2].publish([message(f"{number}.{k}", queue)])
                    batch = consumer.take(5, 0.0)
                    mine += ids(batch)
                    assert consumer.settle([Ack(tag=one.tag) for one in batch]) == [True] * len(batch)
                while batch := consumer.take(5, self.quiet):
                    mine += ids(batch)
                    assert consumer.settle([Ack(tag=one.tag) for one in batch]) == [True] * len(batch)
            finally:
                consumer.close()
            return mine

        taken = [name for mine in at_once(threads, work) for name in mine]
        assert len(taken) == len(set(taken)), "a message was delivered twice"
        eventually(lambda: broker.size(queue).held == 0)
        left = [one.task_id for one in broker.peek(queue, count)] if broker.capabilities.peek else []
        assert len(taken) + len(left) == count, "a message was lost"

    def test_a_take_from_a_server_that_is_down_raises_and_may_be_tried_again(
        self, broker: Broker, consumer: Consumer, queue: str, outage: Outage
    ) -> None:
        broker.publish(messages("ab", queue))
        held = take_one(consumer)
        with outage(), pytest.raises(OperationalError):
            consumer.take(1, 0.1)
        assert ids(take(consumer, 1)) == ["b"]
        assert consumer.settle([Ack(tag=held.tag)]) == [True]
