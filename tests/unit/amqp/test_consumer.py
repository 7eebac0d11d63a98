"""A consumer loses none of the messages that it was sent, whatever fails around it."""

from __future__ import annotations

import time

import pytest

from skirret.brokers.amqp import consumer as consumers
from skirret.brokers.amqp.letter import NONCE
from skirret.brokers.base import Limits, Queue
from skirret.errors import OperationalError, QueueNotFound
from skirret.outcome import Ack, Release
from skirret.stores.amqp import content, frames
from skirret.stores.amqp.publishing import Outgoing
from skirret.stores.amqp.session import Arrived
from skirret.testing.conformance.material import message

QUEUE = "q"


class Lane:
    """A line whose other end is the test."""

    def __init__(self, _store, lost, _ended):
        self.stands = True
        self.lost = lost
        self.losses = 0
        self.coming = []
        self.told = []

    def do(self, work):
        pass

    def tell(self, data):
        self.told.append(data)

    def begin(self, data):
        self.told.append(data)
        lost = self.losses
        return lambda: lost == self.losses

    def breaks(self):
        self.losses += 1
        self.lost()

    def collect(self, _seconds=0.0):
        came, self.coming = self.coming, []
        return came

    def was_interrupted(self):
        return False


class Store:
    identity = "the server"


class Topology:
    def planned(self, queue):
        return Queue(name=queue)

    def ensure(self, queue):
        pass

    doubt = ensure

    def doubt_all(self):
        pass


class Sending:
    """Stores nothing after `fails` messages."""

    def __init__(self):
        self.stored = []
        self.fails = None

    def again(self, queue, found):
        return Outgoing(b"", queue.encode(), b"", found.body)

    def to_dead(self, queue, found, reason):
        return Outgoing(b"dead", queue.encode(), reason.encode(), found.body)

    def send(self, waiting):
        while waiting:
            if self.fails is not None and len(self.stored) >= self.fails:
                raise self.error
            self.stored.append(waiting.pop(0).body.decode())

    error: Exception = OperationalError("the disk is full")


@pytest.fixture
def made(monkeypatch):
    """A consumer, its lane, its sending."""
    monkeypatch.setattr(consumers, "Lane", Lane)
    sending = Sending()
    consumer = consumers.AmqpConsumer(Store(), Topology(), sending, [QUEUE], "c" * 32, Limits(deliveries=3))
    consumer._supply.widen(10)
    return consumer, consumer._lane, sending


def came(consumer, tag, *, again=False, nonce="", **headers):
    told = content.Content(headers={"id": str(tag), **headers}, message_id=NONCE + nonce if nonce else None)
    tap = next(iter(consumer._supply._by_tap))
    return Arrived(tap, tag, again, "", QUEUE, content.encode(told, 1), str(tag).encode())


def bodies(consumer, deliveries):
    return [consumer._held[one.tag].letter.body.decode() for one in deliveries]


@pytest.mark.parametrize("error", [OperationalError("away"), QueueNotFound("gone")])
def test_what_cannot_be_buried_keeps_nobody_from_his_work(made, error):
    consumer, lane, sending = made
    sending.fails, sending.error = 0, error
    lane.coming = [came(consumer, 1), came(consumer, 2, again=True, **{"x-delivery-count": 3}), came(consumer, 3)]
    assert bodies(consumer, consumer.take(10, 0.0)) == ["1", "3"]
    sending.fails = None
    lane.coming = [came(consumer, 4)]
    assert bodies(consumer, consumer.take(10, 0.0)) == ["4"]
    assert sending.stored == ["2"]
    assert 2 not in consumer._supply.open


@pytest.mark.parametrize("stored", [0, 1, 2])
def test_what_cannot_be_given_back_waits_here_again(made, stored):
    consumer, lane, sending = made
    lane.coming = [
        came(consumer, 1),
        came(consumer, 2, again=True, **{"x-delivery-count": 2}),
        came(consumer, 3, again=True, **{"x-delivery-count": 2}),
    ]
    consumer._gather()
    sending.fails = stored
    if stored < 2:
        with pytest.raises(OperationalError):
            consumer.rest()
        sending.fails = None
        consumer.rest()
    else:
        consumer.rest()
    assert sending.stored == ["2", "3"], "each is stored once"
    assert consumer._supply.count == 0
    assert not consumer._supply.open


def test_a_resend_is_known_though_the_first_came_back_from_a_broken_line(made):
    consumer, lane, _ = made
    lane.coming = [came(consumer, 1, again=True, nonce="n"), came(consumer, 2, nonce="n")]
    assert bodies(consumer, consumer.take(10, 0.0)) == ["1"]
    assert 2 not in consumer._supply.open


def test_a_resend_that_waits_unread_is_not_given_to_others(made):
    consumer, lane, _ = made
    lane.coming = [came(consumer, 1, nonce="n"), came(consumer, 2, nonce="n"), came(consumer, 3, nonce="m")]
    held = consumer.take(1, 0.0)
    lane.told.clear()
    consumer.rest()
    assert len(lane.told) == 1
    assert lane.told[0].count(b"\x00\x3c\x00\x50") == 1, "the resend is acknowledged"
    assert lane.told[0].count(b"\x00\x3c\x00\x78") == 1, "the other goes back"
    assert consumer.settle([Ack(tag=held[0].tag)]) == [True]


def test_what_was_released_and_came_back_is_no_resend(made):
    consumer, lane, _ = made
    lane.coming = [came(consumer, 1, nonce="n")]
    (held,) = consumer.take(1, 0.0)
    consumer.settle([Release(tag=held.tag)])
    consumer._supply.widen(10)
    lane.coming = [came(consumer, 2, again=True, nonce="n")]
    assert bodies(consumer, consumer.take(1, 0.0)) == ["2"]


def acks_and_returns(told):
    """How many acknowledgements and returns are among frames."""
    return told.count(b"\x00\x3c\x00\x50"), told.count(b"\x00\x3c\x00\x78")


def released(consumer, lane, tag):
    """Release a message; the acknowledgements and returns that this brought."""
    lane.told.clear()
    assert consumer.settle([Release(tag=tag)]) == [True]
    return acks_and_returns(b"".join(lane.told))


def test_a_message_that_came_back_before_is_released_as_a_new_one_or_as_it_is_if_it_cannot_be_written(made):
    consumer, lane, sending = made
    lane.coming = [came(consumer, tag, again=True, **{"x-delivery-count": 2}) for tag in (1, 2)]
    one, two = consumer.take(10, 0.0)
    assert released(consumer, lane, one.tag) == (1, 0)
    sending.again = lambda _queue, _found: None
    assert released(consumer, lane, two.tag) == (0, 1)
    assert sending.stored == ["1"]


def test_what_was_stored_when_a_release_failed_is_acknowledged_and_not_stored_again(made):
    consumer, lane, sending = made
    lane.coming = [came(consumer, 1, again=True, **{"x-delivery-count": 2})]
    (held,) = consumer.take(10, 0.0)
    begin, lane.begin = lane.begin, lambda _data: (_ for _ in ()).throw(OperationalError("away"))
    with pytest.raises(OperationalError):
        consumer.settle([Release(tag=held.tag)])
    lane.begin = begin
    assert released(consumer, lane, held.tag) == (1, 0)
    assert sending.stored == ["1"]


def test_what_failed_to_bring_what_follows_can_still_be_released(made):
    consumer, lane, sending = made
    lane.coming = [came(consumer, 1)]
    (held,) = consumer.take(10, 0.0)
    sending.of = lambda publication, _number: Outgoing(b"", b"next", b"", publication.envelope.body)
    sending.fails = 0
    with pytest.raises(OperationalError):
        consumer.settle([Ack(tag=held.tag, successors=[message("next", QUEUE)])])
    assert released(consumer, lane, held.tag) == (0, 1)


def test_what_was_begun_when_the_line_broke_is_settled_with_what_came_back(made):
    consumer, lane, _ = made
    lane.coming = [came(consumer, 1), came(consumer, 2)]
    held = consumer.take(10, 0.0)
    assert consumer.begin_settle([Ack(tag=one.tag) for one in held]) is None
    assert acks_and_returns(lane.told.pop()) == (1, 0)
    lane.breaks()
    consumer._supply.widen(10)
    lane.coming = [came(consumer, 11, again=True), came(consumer, 12, again=True)]
    lane.coming[0].body, lane.coming[0].header = b"1", came(consumer, 1).header
    lane.coming[1].body, lane.coming[1].header = b"2", came(consumer, 2).header
    assert consumer.take(10, 0.0) == [], "they are held as before"
    assert consumer.end_settle() == [True, True]
    assert acks_and_returns(b"".join(lane.told)) == (1, 0)
    assert not consumer._held


def test_what_was_begun_is_not_acknowledged_once_more_with_what_comes_next(made):
    consumer, lane, _ = made
    lane.coming = [came(consumer, 1), came(consumer, 2)]
    one, two = consumer.take(10, 0.0)
    consumer.begin_settle([Ack(tag=two.tag)])
    lane.told.clear()
    lane.coming = [came(consumer, 3)]
    assert bodies(consumer, consumer.take(10, 0.0)) == ["3"]
    assert consumer.end_settle() == [True]
    consumer.settle([Ack(tag=one.tag)])
    assert [data for data in lane.told if data] == [frames.ack(1, 1, multiple=True)]
    assert consumer.settle([Ack(tag=two.tag)]) == [False], "it is over"


def test_what_comes_back_only_after_its_settlement_was_refused_is_another_delivery(made, monkeypatch):
    monkeypatch.setattr(consumers, "ADOPTION", 0.01)
    consumer, lane, _ = made
    lane.coming = [came(consumer, 1)]
    (held,) = consumer.take(10, 0.0)
    lane.breaks()
    consumer.begin_settle([Ack(tag=held.tag)])
    lane.coming = [came(consumer, 1, again=True)]
    taken = consumer.take(10, 0.0)
    assert consumer.end_settle() == [False]
    assert bodies(consumer, taken) == ["1"]
    assert consumer.settle([Ack(tag=taken[0].tag)]) == [True]


def test_an_interruption_counts_though_other_things_had_to_be_done_first(made):
    consumer, lane, _ = made
    lane.coming = [came(consumer, tag) for tag in range(1, 11)]
    assert len(consumer.take(10, 0.0)) == 10
    lane.breaks()
    back = [1, 2, 3, 4, 5]  # fill what may come, so that more must be asked for

    def do(_work):
        lane.coming += [came(consumer, tag, again=True) for tag in back]
        back.clear()

    lane.do = do
    interruptions = iter([True])
    lane.was_interrupted = lambda: next(interruptions, False)
    began = time.monotonic()
    assert consumer.take(5, 2.0) == []
    assert time.monotonic() - began < 1.0
