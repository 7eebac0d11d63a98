"""What a broker promises to who settles: each settlement does what it says, whole or not at all."""
# ruff: noqa: S101  an exam asserts

from __future__ import annotations

import time
from typing import Literal

import pytest

from skirret.brokers.base import Broker, Consumer, QueueSize
from skirret.errors import OperationalError
from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry, Settlement
from skirret.testing.conformance.broker_fixtures import BrokerFixtures, MakeConsumer, Outage, needs
from skirret.testing.conformance.material import body_of, eventually, ids, message, messages, take, take_one

HOUR = 3600.0


class SettlingPromises(BrokerFixtures):
    """Ack, Release, Retry, Defer, DeadLetter."""

    def test_an_acked_message_is_gone(self, broker: Broker, make_consumer: MakeConsumer, queue: str) -> None:
        broker.publish([message("one", queue)])
        consumer = make_consumer()
        assert consumer.settle([Ack(tag=take_one(consumer).tag)]) == [True]
        size = broker.size(queue)
        assert (size.ready, size.held, size.delayed, size.dead) == (0, 0, 0, 0)
        consumer.close()
        self.nothing_comes(make_consumer())

    def test_flags_tell_in_order_what_was_held(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish(messages("abc", queue))
        tags = [delivery.tag for delivery in take(consumer, 3)]
        unknown = max(tags) + 1000
        assert consumer.settle([Ack(tag=tags[2]), Ack(tag=unknown), Ack(tag=tags[0])]) == [True, False, True]
        assert consumer.settle([Ack(tag=tags[0]), Ack(tag=tags[1]), Release(tag=tags[1])]) == [False, True, False]
        assert not consumer.fenced
        assert broker.size(queue).held == broker.size(queue).ready == 0

    def test_nothing_to_settle_is_nothing(self, consumer: Consumer) -> None:
        assert consumer.settle([]) == []

    def test_a_consumer_cannot_settle_what_another_one_holds(
        self, broker: Broker, make_consumer: MakeConsumer, queue: str
    ) -> None:
        broker.publish([message("one", queue)])
        holder, other = make_consumer(), make_consumer()
        held = take_one(holder)
        assert other.settle([Ack(tag=held.tag)]) == [False]
        assert holder.settle([Ack(tag=held.tag)]) == [True]

    def test_a_released_message_is_taken_again_first_and_uncounted(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        broker.publish(messages("abc", queue))
        first = take_one(consumer)
        assert consumer.settle([Release(tag=first.tag)]) == [True]
        again = take_one(consumer)
        assert ids([again]) == ["a"]
        assert (again.crashes, again.raw, again.queue) == (0, first.raw, queue)
        assert again.deliveries == 0 or not broker.capabilities.releases_uncounted
        assert again.tag != first.tag
        assert ids(take(consumer, 2)) == ["b", "c"]

    def test_several_released_messages_go_before_the_others(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        broker.publish(messages("abcd", queue))
        consumer.settle([Release(tag=one.tag) for one in take(consumer, 3)])
        assert sorted(ids(take(consumer, 3))) == ["a", "b", "c"]
        assert ids(take(consumer, 1)) == ["d"]

    def test_a_released_message_keeps_its_priority(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        if not broker.capabilities.priorities:
            pytest.skip("the broker declares that it has no priorities")
        broker.publish([message("plain", queue)])
        held = take_one(consumer)
        broker.publish([message("urgent", queue, priority=9)])
        consumer.settle([Release(tag=held.tag)])
        assert ids(take(consumer, 2)) == ["urgent", "plain"]

    def test_a_released_message_returns_to_its_home_queue(
        self, broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str
    ) -> None:
        broker.publish([message("there", other_queue)])
        consumer = make_consumer(queue, other_queue)
        consumer.settle([Release(tag=take_one(consumer).tag)])
        consumer.rest()
        eventually(lambda: (broker.size(queue).ready, broker.size(other_queue).ready) == (0, 1))

    def test_a_retry_replaces_the_message(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish([message("one", queue, body=b"first")])
        held = take_one(consumer)
        consumer.settle([Defer(tag=held.tag, counted="delivery")])
        held = take_one(consumer)
        again = message("one", queue, body=b"second")
        assert consumer.settle([Retry(tag=held.tag, publication=again)]) == [True]
        assert broker.size(queue).held == 0
        delivery = take_one(consumer)
        assert body_of(delivery.raw) == b"second"
        assert (delivery.deliveries, delivery.crashes) == (0, 0)
        self.nothing_comes(consumer)

    def test_a_retry_waits_for_its_time(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        if not broker.capabilities.delayed:
            pytest.skip("the broker declares that it cannot delay")
        broker.publish([message("one", queue), message("two", queue)])
        first, second = take(consumer, 2)
        due = time.time() + 0.03
        consumer.settle(
            [
                Retry(tag=first.tag, publication=message("one", queue, due=due)),
                Retry(tag=second.tag, publication=message("two", queue, due=due + HOUR)),
            ]
        )
        assert ids(take(consumer, 1)) == ["one"]
        assert time.time() >= due
        if broker.capabilities.lists_delayed:
            assert broker.size(queue).delayed == 1
        self.nothing_comes(consumer)

    def test_a_retry_is_never_mistaken_for_a_repetition(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        publication = message("one", queue, nonce="same")
        broker.publish([publication])
        assert consumer.settle([Retry(tag=take_one(consumer).tag, publication=publication)]) == [True]
        assert ids(take(consumer, 1)) == ["one"]

    def test_a_retry_may_go_to_another_queue(
        self, broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str
    ) -> None:
        broker.publish([message("one", queue)])
        consumer = make_consumer(queue)
        consumer.settle([Retry(tag=take_one(consumer).tag, publication=message("one", other_queue))])
        self.nothing_comes(consumer)
        assert take_one(make_consumer(other_queue)).queue == other_queue

    @pytest.mark.parametrize("counted,counts", [("no", (0, 0)), ("delivery", (1, 0)), ("crash", (0, 1))])
    def test_a_deferred_message_is_counted_as_it_says(
        self,
        broker: Broker,
        consumer: Consumer,
        queue: str,
        counted: Literal["no", "delivery", "crash"],
        counts: tuple[int, int],
    ) -> None:
        broker.publish([message("one", queue)])
        held = take_one(consumer)
        for times in (1, 2, 3):
            assert consumer.settle([Defer(tag=held.tag, counted=counted)]) == [True]
            again = take_one(consumer)
            assert again.raw == held.raw
            assert (again.deliveries, again.crashes) == (counts[0] * times, counts[1] * times)
            assert again.first_delivered == pytest.approx(held.first_delivered, abs=0.001)
            held = again

    def test_the_first_delivery_is_remembered(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish([message("one", queue)])
        held = take_one(consumer)
        time.sleep(0.02)
        consumer.settle([Defer(tag=held.tag, counted="delivery")])
        assert take_one(consumer).first_delivered == pytest.approx(held.first_delivered, abs=0.001)

    def test_a_deferred_message_waits_for_its_time(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        if not broker.capabilities.delayed:
            pytest.skip("the broker declares that it cannot delay")
        broker.publish([message("soon", queue), message("late", queue)])
        soon, late = take(consumer, 2)
        due = time.time() + 0.03
        consumer.settle([Defer(tag=soon.tag, due=due), Defer(tag=late.tag, due=due + HOUR, counted="crash")])
        assert ids(take(consumer, 1)) == ["soon"]
        assert time.time() >= due
        if broker.capabilities.lists_delayed:
            assert [one.task_id for one in broker.delayed(queue)] == ["late"]
        self.nothing_comes(consumer)

    def test_a_message_deferred_to_now_goes_to_the_end(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish(messages("abc", queue))
        consumer.settle([Defer(tag=take_one(consumer).tag)])
        assert ids(take(consumer, 3)) == ["b", "c", "a"]

    def test_one_that_is_to_be_the_first_goes_to_the_front(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        needs(broker, "defers_in_front")
        broker.publish(messages("abc", queue))
        consumer.settle([Defer(tag=take_one(consumer).tag, counted="crash", first=True)])
        assert [(ids([one])[0], one.crashes) for one in take(consumer, 3)] == [("a", 1), ("b", 0), ("c", 0)]

    def test_a_dead_letter_keeps_its_reason_and_its_bytes(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish([message("one", queue)])
        held = take_one(consumer)
        before = time.time()
        assert consumer.settle([DeadLetter(tag=held.tag, reason="it's no use; \N{SKULL}")]) == [True]
        (letter,) = broker.dead(queue)
        assert (letter.reason, letter.raw) == ("it's no use; \N{SKULL}", held.raw)
        assert (letter.queue, letter.task_id) == (queue, "one")
        assert before - 60 < letter.died < time.time() + 60
        assert broker.size(queue).dead == 1
        self.nothing_comes(consumer)

    def test_a_dead_letter_keeps_its_counts(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish([message("one", queue)])
        for counted in ("crash", "crash", "delivery"):
            consumer.settle([Defer(tag=take_one(consumer).tag, counted=counted)])
        consumer.settle([DeadLetter(tag=take_one(consumer).tag, reason="enough")])
        (letter,) = broker.dead(queue)
        assert (letter.deliveries, letter.crashes) == (1, 2)

    def test_successors_are_published_with_the_ack(
        self, broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str
    ) -> None:
        broker.publish([message("one", queue), message("two", queue)])
        consumer = make_consumer(queue, other_queue)
        one, two = take(consumer, 2)
        settled = consumer.settle(
            [
                Ack(tag=one.tag, successors=[message("next", queue), message("there", other_queue)]),
                DeadLetter(tag=two.tag, reason="failed", successors=[message("errback", other_queue)]),
            ]
        )
        assert settled == [True, True]
        came = {task: delivery.queue for delivery in take(consumer, 3) for task in ids([delivery])}
        assert came == {"next": queue, "there": other_queue, "errback": other_queue}
        self.nothing_comes(consumer)

    def test_a_successor_may_wait_for_its_time(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        if not broker.capabilities.delayed:
            pytest.skip("the broker declares that it cannot delay")
        broker.publish([message("one", queue)])
        consumer.settle([Ack(tag=take_one(consumer).tag, successors=[message("later", queue, due=time.time() + HOUR)])])
        if broker.capabilities.lists_delayed:
            assert [one.task_id for one in broker.delayed(queue)] == ["later"]
        self.nothing_comes(consumer)

    def test_a_successor_that_was_published_before_is_not_repeated(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        needs(broker, "knows_nonces")
        successor = message("next", queue, nonce="chain-2")
        broker.publish([message("one", queue), message("one", queue)])
        first, second = take(consumer, 2)
        assert consumer.settle([Ack(tag=first.tag, successors=[successor])]) == [True]
        assert consumer.settle([Ack(tag=second.tag, successors=[successor])]) == [True]
        assert ids(take(consumer, 1)) == ["next"]
        self.nothing_comes(consumer)

    def test_what_was_not_held_leaves_no_successor(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish([message("one", queue)])
        held = take_one(consumer)
        assert consumer.settle([Ack(tag=held.tag)]) == [True]
        late: list[Settlement] = [
            Ack(tag=held.tag, successors=[message("x", queue)]),
            Retry(tag=held.tag, publication=message("y", queue)),
            DeadLetter(tag=held.tag, reason="z", successors=[message("z", queue)]),
            Defer(tag=held.tag),
            Release(tag=held.tag),
        ]
        assert consumer.settle(late) == [False] * 5
        self.nothing_comes(consumer)
        assert broker.dead(queue) == []

    def test_one_batch_may_hold_every_kind(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish(messages("abcde", queue))
        a, b, c, d, e = take(consumer, 5)
        flags = consumer.settle(
            [
                Ack(tag=a.tag, successors=[message("a2", queue)]),
                Release(tag=b.tag),
                Retry(tag=c.tag, publication=message("c2", queue)),
                Defer(tag=d.tag, counted="delivery"),
                DeadLetter(tag=e.tag, reason="no"),
            ]
        )
        assert flags == [True] * 5
        assert sorted(ids(take(consumer, 4))) == ["a2", "b", "c2", "d"]
        assert [one.task_id for one in broker.dead(queue)] == ["e"]
        self.nothing_comes(consumer)

    def test_a_batch_that_cannot_be_written_changes_nothing(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        broker.publish(messages("ab", queue))
        a, b = take(consumer, 2)
        broken = message("broken", queue)
        broken.envelope.headers["what"] = object()  # no serializer knows it
        with pytest.raises(Exception):  # noqa: B017, PT011  which one is the encoder's business
            consumer.settle([Ack(tag=a.tag, successors=[message("next", queue)]), Ack(tag=b.tag, successors=[broken])])
        assert broker.size(queue) == QueueSize(held=2)
        assert consumer.settle([Ack(tag=a.tag), Ack(tag=b.tag)]) == [True, True]

    def test_a_settlement_on_a_server_that_is_down_raises_and_may_be_repeated(
        self, broker: Broker, consumer: Consumer, queue: str, outage: Outage
    ) -> None:
        broker.publish([message("one", queue)])
        ack = Ack(tag=take_one(consumer).tag, successors=[message("next", queue)])
        with outage(), pytest.raises(OperationalError):
            consumer.settle([ack])
        assert consumer.settle([ack]) == [True]
        assert ids(take(consumer, 1)) == ["next"]
