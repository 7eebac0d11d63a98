"""What a broker promises that settles results in the same step."""
# ruff: noqa: S101  an exam asserts

from __future__ import annotations

from skirret.backends.base import ResultBackend
from skirret.brokers.base import Broker, Consumer
from skirret.outcome import Ack, DeadLetter, Release, Retry, Settlement
from skirret.testing.conformance.broker_fixtures import BrokerFixtures
from skirret.testing.conformance.material import Later, eventually, message, messages, record, take, take_one


class SettledResultPromises(BrokerFixtures):
    """Results that are written in the same step; where the broker declares `settles_results`."""

    def test_broker_and_backend_of_one_server_have_one_identity(self, broker: Broker, backend: ResultBackend) -> None:
        assert broker.identity == backend.identity

    def test_an_ack_stores_its_result(
        self, broker: Broker, backend: ResultBackend, consumer: Consumer, queue: str
    ) -> None:
        broker.publish(messages("abc", queue))
        a, b, c = take(consumer, 3)
        flags = consumer.settle(
            [
                Ack(tag=a.tag, result=record("a", payload=b"of a")),
                DeadLetter(tag=b.tag, reason="no", result=record("b", "FAILURE", b"of b")),
                Retry(tag=c.tag, publication=message("c", queue), result=record("c", "RETRY", b"of c")),
            ]
        )
        assert flags == [True] * 3
        assert backend.fetch(["a", "b", "c"]) == {"a": b"of a", "b": b"of b", "c": b"of c"}
        assert backend.wait(["c", "b"], 0.0) == {"b": b"of b"}

    def test_a_settled_result_wakes_who_waits_for_it(
        self, broker: Broker, backend: ResultBackend, consumer: Consumer, queue: str
    ) -> None:
        broker.publish([message("one", queue)])
        held = take_one(consumer)
        later = Later(lambda: backend.wait(["one"], 10.0))
        assert not later.done.wait(0.02)
        consumer.settle([Ack(tag=held.tag, result=record("one", payload=b"done"))])
        assert later.result() == {"one": b"done"}

    def test_a_result_that_weighs_less_stays_out_and_the_ack_counts(
        self, broker: Broker, backend: ResultBackend, consumer: Consumer, queue: str
    ) -> None:
        backend.store([record("one", "SUCCESS", b"first")])
        broker.publish([message("one", queue)])
        ack = Ack(tag=take_one(consumer).tag, result=record("one", "FAILURE", b"second"), successors=[])
        assert consumer.settle([ack]) == [True]
        assert backend.fetch(["one"]) == {"one": b"first"}
        assert broker.size(queue).held == 0

    def test_a_settled_result_lives_as_long_as_it_says(
        self, broker: Broker, backend: ResultBackend, consumer: Consumer, queue: str
    ) -> None:
        broker.publish([message("one", queue)])
        consumer.settle([Ack(tag=take_one(consumer).tag, result=record("one", ttl=0.05))])
        eventually(lambda: backend.fetch(["one"]) == {})

    def test_what_was_not_held_leaves_no_result(
        self, broker: Broker, backend: ResultBackend, consumer: Consumer, queue: str
    ) -> None:
        broker.publish([message("one", queue)])
        held = take_one(consumer)
        assert consumer.settle([Release(tag=held.tag)]) == [True]
        late: list[Settlement] = [
            Ack(tag=held.tag, result=record("one")),
            Retry(tag=held.tag, publication=message("one", queue), result=record("one", "RETRY")),
            DeadLetter(tag=held.tag, reason="no", result=record("one", "FAILURE")),
        ]
        assert consumer.settle(late) == [False] * 3
        assert backend.fetch(["one"]) == {}
        assert broker.size(queue).ready == 1
