"""The ladder of delays is Celery's, name by name and bit by bit."""

from __future__ import annotations

import pytest
from kombu.transport import native_delayed_delivery as peer

from skirret.brokers.amqp import ladder


@pytest.mark.parametrize("seconds", [1, 10, 259_200, 2**28 - 1])
def test_a_delay_is_written_as_celery_writes_it(seconds):
    assert ladder.key(seconds, "some.key") == peer.calculate_routing_key(seconds, "some.key")


def test_a_message_that_waited_before_does_not_carry_two_delays():
    once = ladder.key(5, "q")
    assert ladder.key(7, once) == ladder.key(7, "q") == peer.calculate_routing_key(7, once)
    assert ladder.plain(once) == "q"


def test_names_and_arguments_are_celerys(monkeypatch):
    declared = []

    class Channel:
        def __getattr__(self, name):
            def call(*args, **kwargs):
                declared.append((name, args, kwargs))

            return call

    class Connection:
        def channel(self):
            return Channel()

    seen = []
    monkeypatch.setattr(peer, "Queue", lambda name, queue_arguments: seen.append((name, queue_arguments)) or _Bound())
    monkeypatch.setattr(peer, "Exchange", lambda name, **kind: _Bound())
    peer.declare_native_delayed_delivery_exchanges_and_queues(Connection(), "quorum")
    assert dict(seen) == {ladder.level(n): ladder.queue_arguments(n, "quorum") for n in range(ladder.LEVELS)}
    assert peer.level_name(ladder.LEVELS - 1) == ladder.ENTRY
    assert peer.CELERY_DELAYED_DELIVERY_EXCHANGE == ladder.EXIT


class _Bound:
    def bind(self, channel):
        return self

    def declare(self):
        return None

    def bind_to(self, *args, **kwargs):
        return None


@pytest.mark.parametrize(
    "due,now,seconds",
    [(100.0, 100.0, 0), (99.0, 100.0, 0), (100.001, 100.0, 1), (103.0, 100.0, 3), (1e12, 0.0, ladder.MAX_DELAY)],
)
def test_nothing_comes_early_and_what_is_due_does_not_wait(due, now, seconds):
    assert ladder.seconds_until(due, now) == seconds
