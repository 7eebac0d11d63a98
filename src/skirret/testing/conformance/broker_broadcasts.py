"""What a broker promises about broadcasts: hints to who listens."""
# ruff: noqa: S101  an exam asserts

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from skirret.brokers.base import Broker
from skirret.brokers.subscription import Subscription
from skirret.testing.conformance import material
from skirret.testing.conformance.broker_fixtures import BrokerFixtures
from skirret.testing.conformance.material import Later

Subscribe = Callable[..., Subscription]


def heard(subscription: Subscription, count: int) -> list[tuple[str, bytes]]:
    """The next `count` hints."""
    hints: list[tuple[str, bytes]] = []
    deadline = time.monotonic() + material.patience
    while len(hints) < count and time.monotonic() < deadline:
        hints += subscription.receive(deadline - time.monotonic())
    assert len(hints) == count, hints
    return hints


class BroadcastPromises(BrokerFixtures):
    """Sent to all who listen now."""

    @pytest.fixture
    def subscribe(self, broker: Broker) -> Iterator[Subscribe]:
        """Opens subscriptions that are closed in the end; skips where the broker declares that it cannot fan out."""
        if not broker.capabilities.fan_out:
            pytest.skip("the broker declares that it cannot fan out")
        opened: list[Subscription] = []

        def subscribe(topics: Sequence[str], broker: Broker = broker) -> Subscription:
            opened.append(broker.subscribe(topics))
            return opened[-1]

        yield subscribe
        for subscription in opened:
            subscription.close()

    def test_a_broadcast_reaches_all_who_listen(
        self, broker: Broker, second_broker: Broker, subscribe: Subscribe
    ) -> None:
        listeners = [subscribe(["news"]), subscribe(["news"], second_broker), subscribe(["other", "news"])]
        broker.broadcast("news", b"\x00\xff binary")
        for listener in listeners:
            assert heard(listener, 1) == [("news", b"\x00\xff binary")]

    def test_broadcasts_come_in_order(self, broker: Broker, subscribe: Subscribe) -> None:
        listener = subscribe(["news"])
        for number in range(20):
            broker.broadcast("news", str(number).encode())
        assert [payload for _, payload in heard(listener, 20)] == [str(number).encode() for number in range(20)]

    def test_only_subscribed_topics_are_heard(self, broker: Broker, subscribe: Subscribe) -> None:
        listener = subscribe(["news"])
        for topic in ("other", "new", "newsletter", "NEWS", "news"):
            broker.broadcast(topic, topic.encode())
        assert heard(listener, 1) == [("news", b"news")]
        assert listener.receive(self.quiet) == []

    def test_a_topic_with_a_star_matches_by_prefix(self, broker: Broker, subscribe: Subscribe) -> None:
        listener, everything = subscribe(["task.*"]), subscribe(["*"])
        for topic in ("task.done", "tasks", "task.", "worker.up", "task[x].y"):
            broker.broadcast(topic, b"")
        assert [topic for topic, _ in heard(listener, 2)] == ["task.done", "task."]
        assert len(heard(everything, 5)) == 5

    def test_a_prefix_may_hold_the_signs_of_patterns(self, broker: Broker, subscribe: Subscribe) -> None:
        listener = subscribe(["a[b]?_%*"])
        for topic in ("ab", "a[b]?_%x", "a[b]zzz"):
            broker.broadcast(topic, b"")
        assert heard(listener, 1) == [("a[b]?_%x", b"")]
        assert listener.receive(self.quiet) == []

    def test_who_comes_late_has_missed_it(self, broker: Broker, subscribe: Subscribe) -> None:
        broker.broadcast("news", b"early")
        listener = subscribe(["news"])
        broker.broadcast("news", b"late")
        assert heard(listener, 1) == [("news", b"late")]

    def test_one_hint_for_a_topic_subscribed_twice(self, broker: Broker, subscribe: Subscribe) -> None:
        listener = subscribe(["news", "new*", "news"])
        broker.broadcast("news", b"once")
        assert heard(listener, 1) == [("news", b"once")]
        assert listener.receive(self.quiet) == []

    def test_listening_waits_for_the_first_hint(self, second_broker: Broker, subscribe: Subscribe) -> None:
        listener = subscribe(["news"])

        def send() -> None:
            time.sleep(0.02)  # so that the listener is likely to wait by now; either way it must hear
            second_broker.broadcast("news", b"now")

        later = Later(send)
        start = time.monotonic()
        assert listener.receive(30.0) == [("news", b"now")]
        assert time.monotonic() - start < self.patience
        later.result()

    def test_listening_in_vain_ends_with_the_timeout(self, subscribe: Subscribe) -> None:
        start = time.monotonic()
        assert subscribe(["news"]).receive(0.05) == []
        assert 0.045 <= time.monotonic() - start < self.patience

    def test_a_closed_subscription_hears_nothing(self, broker: Broker, subscribe: Subscribe) -> None:
        listener, other = subscribe(["news"]), subscribe(["news"])
        listener.close()
        listener.close()
        broker.broadcast("news", b"now")
        assert heard(other, 1) == [("news", b"now")]

    def test_a_fanout_exchange_is_heard_by_the_routing_keys_that_were_asked_for(
        self, broker: Broker, second_broker: Broker, subscribe: Subscribe
    ) -> None:
        subscribe(["other"])  # skips where the broker declares that it cannot fan out
        everything, workers = broker.listen("celeryev"), second_broker.listen("celeryev", ["worker.#", "task.sent"])
        bare = broker.listen("celery.pidbox", [""])
        try:
            sent = [("task.multi", b"[1]"), ("worker.online", b"{}"), ("task.sent", b"\xff")]
            broker.fan_out("celeryev", sent)
            broker.fan_out("celeryev.x", [("task.sent", b"no")])
            broker.fan_out("celery.pidbox", [("", b"command")])
            assert heard(everything, 3) == sent
            assert sorted(heard(workers, 2)) == [("task.sent", b"\xff"), ("worker.online", b"{}")]
            assert heard(bare, 1) == [("", b"command")]
            assert [one.receive(self.quiet) for one in (everything, workers, bare)] == [[], [], []]
        finally:
            for one in (everything, workers, bare):
                one.close()

    def test_who_can_count_says_how_many_heard_a_fanout(self, broker: Broker, subscribe: Subscribe) -> None:
        subscribe(["other"])
        assert broker.fan_out("nobody.pidbox", [("", b"?")]) in {0, None}
        listeners = [broker.listen("some.pidbox", [""], name=f"n{number}@here.some.pidbox") for number in range(3)]
        try:
            assert broker.fan_out("some.pidbox", [("", b"!")]) in {3, None}
            assert [heard(one, 1) for one in listeners] == [[("", b"!")]] * 3
        finally:
            for one in listeners:
                one.close()

    def test_replies_reach_the_one_caller_whom_they_are_for(
        self, broker: Broker, second_broker: Broker, subscribe: Subscribe
    ) -> None:
        subscribe(["other"])
        mine, others = broker.mailbox("reply.celery.pidbox", "me"), broker.mailbox("reply.celery.pidbox", "you")
        try:
            for payload in (b"1", b"\xff2"):
                second_broker.reply("reply.celery.pidbox", "me", payload)
            assert [payload for _, payload in heard(mine, 2)] == [b"1", b"\xff2"]
            assert others.receive(self.quiet) == mine.receive(self.quiet) == []
        finally:
            mine.close()
            others.close()
        second_broker.reply("reply.celery.pidbox", "me", b"too late")
        again = broker.mailbox("reply.celery.pidbox", "somebody else")
        assert again.receive(self.quiet) == []
        again.close()

    def test_a_broadcast_to_nobody_is_gone(self, broker: Broker) -> None:
        if not broker.capabilities.fan_out:
            pytest.skip("the broker declares that it cannot fan out")
        broker.broadcast("nobody-listens", b"")
