"""What a broker promises to who publishes."""
# ruff: noqa: S101  an exam asserts

from __future__ import annotations

import json
import os
import time
import traceback
import warnings

import pytest

from skirret.brokers.base import Broker, Consumer, Queue
from skirret.errors import OperationalError
from skirret.testing.conformance.broker_fixtures import BrokerFixtures, MakeConsumer, Outage, needs
from skirret.testing.conformance.material import at_once, body_of, ids, message, messages, take, take_one


class PublishingPromises(BrokerFixtures):
    """Storing, confirming, not repeating."""

    def test_a_published_message_is_delivered(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish([message("one", queue)])
        assert ids(take(consumer, 1)) == ["one"]

    def test_a_message_is_delivered_with_its_envelope_whole(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        body = bytes(range(256)) * 3
        publication = message("one", queue, priority=3, body=body)
        broker.publish([publication])
        raw = take_one(consumer).raw
        assert body_of(raw) == body
        told = json.loads(raw)
        assert told["headers"] == publication.envelope.headers
        assert told["content-type"] == publication.envelope.content_type
        assert told["content-encoding"] == publication.envelope.content_encoding
        assert told["properties"]["correlation_id"] == "one"

    def test_a_large_message_is_delivered_whole(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        body = os.urandom(128 * 1024)
        broker.publish([message("large", queue, body=body)])
        assert body_of(take_one(consumer).raw) == body

    def test_a_whole_batch_is_delivered_in_order(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        names = [f"m{n}" for n in range(50)]
        broker.publish(messages(names, queue))
        assert ids(take(consumer, 50)) == names
        self.nothing_comes(consumer)

    def test_a_batch_may_go_to_several_queues(
        self, broker: Broker, make_consumer: MakeConsumer, queue: str, other_queue: str
    ) -> None:
        broker.publish([message("here", queue), message("there", other_queue)])
        assert ids(take(make_consumer(queue), 1)) == ["here"]
        assert ids(take(make_consumer(other_queue), 1)) == ["there"]

    def test_an_empty_batch_is_nothing(self, broker: Broker, consumer: Consumer) -> None:
        broker.publish([])
        self.nothing_comes(consumer)

    @pytest.mark.parametrize("task_id", ["../../etc/x", "a b'c\"d;--", "ümläut-漢字-🥕", "x" * 255, "{q}*?[", "0"])
    def test_task_ids_are_free_text(self, broker: Broker, consumer: Consumer, queue: str, task_id: str) -> None:
        broker.publish([message(task_id, queue)])
        assert ids(take(consumer, 1)) == [task_id]

    def test_a_nonce_is_stored_once(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        needs(broker, "knows_nonces")
        for _ in range(3):
            broker.publish([message("one", queue, nonce="same")])
        take(consumer, 1)
        self.nothing_comes(consumer)

    def test_a_nonce_is_stored_once_whoever_brings_it(
        self, broker: Broker, second_broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        needs(broker, "knows_nonces")
        broker.publish([message("one", queue, nonce="same")])
        second_broker.publish([message("one", queue, nonce="same")])
        take(consumer, 1)
        self.nothing_comes(consumer)

    def test_a_nonce_is_remembered_after_its_message_is_done(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        needs(broker, "knows_nonces")
        broker.publish([message("one", queue, nonce="same")])
        consumer.close()
        broker.purge(queue)
        broker.publish([message("one", queue, nonce="same")])
        assert broker.size(queue).ready == 0

    def test_repeating_a_call_adds_only_what_was_missing(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        needs(broker, "knows_nonces")
        broker.publish([message("a", queue, nonce="n-a")])
        broker.publish([message("a", queue, nonce="n-a"), message("b", queue, nonce="n-b")])
        broker.publish([message("a", queue, nonce="n-a"), message("b", queue, nonce="n-b")])
        assert sorted(ids(take(consumer, 2))) == ["a", "b"]
        self.nothing_comes(consumer)

    def test_the_publications_of_one_call_may_share_a_nonce(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        needs(broker, "knows_nonces")
        batch = messages(["a", "b", "c"], queue, nonce="bulk")
        broker.publish(batch)
        broker.publish(batch)
        assert ids(take(consumer, 3)) == ["a", "b", "c"]
        self.nothing_comes(consumer)

    def test_a_message_without_a_nonce_is_never_a_repetition(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        for _ in range(2):
            broker.publish([message("one", queue, nonce="")])
        assert ids(take(consumer, 2)) == ["one", "one"]

    def test_a_task_id_that_is_sent_again_is_a_new_message(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        broker.publish([message("one", queue)])
        broker.publish([message("one", queue)])
        assert ids(take(consumer, 2)) == ["one", "one"]

    def test_an_expired_message_is_still_delivered_for_the_worker_decides(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        broker.publish([message("late", queue, expires=time.time() - 60)])
        assert ids(take(consumer, 1)) == ["late"]

    def test_what_was_published_stays_when_the_publisher_leaves(
        self, broker: Broker, second_broker: Broker, make_consumer: MakeConsumer, queue: str
    ) -> None:
        broker.publish([message("one", queue)])
        broker.close()
        assert ids(take(make_consumer(queue, broker=second_broker), 1)) == ["one"]

    def test_a_broker_may_be_used_again_after_close(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.close()
        broker.publish([message("one", queue)])
        assert ids(take(consumer, 1)) == ["one"]
        broker.close()
        broker.close()

    def test_all_clients_of_a_server_name_it_the_same(self, broker: Broker, second_broker: Broker) -> None:
        assert broker.identity
        assert broker.identity == second_broker.identity == broker.identity

    def test_threads_may_publish_through_one_broker(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        def publish(number: int) -> None:
            for k in range(10):
                broker.publish([message(f"{number}.{k}", queue)])

        at_once(6, publish)
        assert sorted(ids(take(consumer, 60))) == sorted(f"{n}.{k}" for n in range(6) for k in range(10))
        self.nothing_comes(consumer)

    def test_one_nonce_in_many_hands_is_stored_once(
        self, broker: Broker, second_broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        needs(broker, "knows_nonces")
        clients = [broker, second_broker] * 3
        at_once(6, lambda n: clients[n].publish([message("one", queue, nonce="raced")]))
        take(consumer, 1)
        self.nothing_comes(consumer)

    def test_declared_queues_exist(self, broker: Broker, second_broker: Broker, queue: str, other_queue: str) -> None:
        for _ in range(2):
            broker.declare([Queue(name=queue), Queue(name=other_queue, max_priority=9)])
        names = second_broker.names()
        assert {queue, other_queue} <= set(names)
        assert names == sorted(set(names))

    def test_declaring_a_queue_leaves_its_messages(self, broker: Broker, consumer: Consumer, queue: str) -> None:
        broker.publish([message("one", queue)])
        broker.declare([Queue(name=queue)])
        assert ids(take(consumer, 1)) == ["one"]

    def test_publishing_brings_a_queue_into_being(self, broker: Broker, second_broker: Broker, queue: str) -> None:
        broker.publish([message("one", queue)])
        assert queue in second_broker.names()

    def test_a_publication_that_cannot_be_confirmed_raises(
        self, broker: Broker, consumer: Consumer, queue: str, outage: Outage
    ) -> None:
        with outage():
            start = time.monotonic()
            with pytest.raises(OperationalError):
                broker.publish([message("one", queue)])
            assert time.monotonic() - start < 6.0, "the deadline is 5 s"

    def test_after_an_outage_the_same_call_is_safe_to_repeat(
        self, broker: Broker, consumer: Consumer, queue: str, outage: Outage
    ) -> None:
        batch = messages(["a", "b"], queue)
        broker.publish(batch[:1])
        with outage(), pytest.raises(OperationalError):
            broker.publish(batch)
        broker.publish(batch)
        assert sorted(set(ids(take(consumer, 2)))) == ["a", "b"]
        if broker.capabilities.knows_nonces:
            self.nothing_comes(consumer)
        else:
            assert ids(consumer.take(5, self.quiet)) in ([], ["a"]), "what was not sent twice is there twice"

    @pytest.mark.parametrize("ask", ["declare", "purge", "size", "names", "peek", "delayed", "dead", "broadcast"])
    def test_every_question_to_a_server_that_is_down_raises(
        self, broker: Broker, queue: str, outage: Outage, ask: str
    ) -> None:
        arguments: dict[str, tuple[object, ...]] = {
            "declare": ([Queue(name=queue)],),
            "names": (),
            "broadcast": ("topic", b"hint"),
        }
        with outage(), pytest.raises(OperationalError):
            getattr(broker, ask)(*arguments.get(ask, (queue,)))

    def test_a_broker_that_was_used_before_a_fork_works_on_both_sides(
        self, broker: Broker, consumer: Consumer, queue: str
    ) -> None:
        if not broker.capabilities.durable or not hasattr(os, "fork"):
            pytest.skip("the broker declares that its messages live in one process")
        broker.publish([message("before", queue)])
        with warnings.catch_warnings(action="ignore"):  # Python 3.12 warns of threads, which other tests may have left
            child = os.fork()
        if child == 0:
            try:
                broker.publish([message("child", queue)])
            except BaseException:  # noqa: BLE001  the parent sees the exit code
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        broker.publish([message("parent", queue)])
        assert ids(take(consumer, 3)) == ["before", "child", "parent"]
