"""A publisher that heard no confirm sends again: who gets both messages runs one."""

from __future__ import annotations

from skirret.outcome import Ack, Defer, Retry
from skirret.testing.conformance.material import ids, message, messages, take, take_one


def test_a_resend_is_dropped_while_the_first_is_held_and_after_it_is_done(broker, consumer):
    batch = messages(["a", "b"], "q", nonce="bulk")
    broker.publish(batch)
    broker.publish(batch)
    held = take(consumer, 2)
    assert ids(held) == ["a", "b"]
    assert consumer.take(10, 0.2) == []
    assert consumer.settle([Ack(tag=one.tag) for one in held]) == [True, True]
    broker.publish(batch)
    assert consumer.take(10, 0.2) == []
    assert broker.size("q").ready == 0


def test_what_is_published_anew_or_comes_again_is_no_resend(broker, consumer):
    publication = message("one", "q", nonce="same")
    broker.publish([publication])
    consumer.settle([Defer(tag=take_one(consumer).tag, counted="delivery")])
    held = take_one(consumer)
    consumer.settle([Retry(tag=held.tag, publication=message("one", "q"))])
    consumer.settle([Ack(tag=take_one(consumer).tag)])
    broker.publish([message("one", "q"), message("one", "q", nonce="")])
    assert ids(take(consumer, 2)) == ["one", "one"]


def test_a_retry_keeps_its_message_though_it_shares_the_nonce_of_the_first(broker, consumer):
    publication = message("one", "q", nonce="same")
    broker.publish([publication])
    assert consumer.settle([Retry(tag=take_one(consumer).tag, publication=publication)]) == [True]
    assert ids(take(consumer, 1)) == ["one"]
