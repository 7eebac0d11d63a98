"""What others do to a server while we use it: nothing is lost over it, and nobody hangs."""

from __future__ import annotations

import time

import amqp
import pytest

from skirret.brokers.amqp import listing
from skirret.brokers.base import Queue
from skirret.brokers.open import open_broker
from skirret.errors import EncodeError, OperationalError, QueueNotFound
from skirret.message import Route
from skirret.outcome import Ack, DeadLetter, Release
from skirret.testing.conformance.material import Later, eventually, ids, message, messages, take, take_one


@pytest.fixture
def other(rabbitmq, rabbitmq_host):
    """Somebody else's channel."""
    with amqp.Connection(f"127.0.0.1:{rabbitmq.port}", virtual_host=rabbitmq_host) as line:
        yield line.channel()


def test_a_routing_key_that_is_no_text_takes_no_neighbour_with_it(broker, consumer, other):
    broker.declare([Queue(name="q", exchange="all", exchange_type="fanout")])
    broker.publish(messages(["a", "b"], "q"))
    frame = b"\x00\x3c\x00\x28\x00\x00\x03all\x02\xff\xfe\x00"
    header = b"\x00\x3c\x00\x00" + (1).to_bytes(8, "big") + b"\x10\x00\x02"
    for kind, payload in ((1, frame), (2, header), (3, b"x")):
        number = other.channel_id.to_bytes(2, "big")
        other.connection.transport.write(bytes([kind]) + number + len(payload).to_bytes(4, "big") + payload + b"\xce")
    eventually(lambda: broker.size("q").ready == 3)
    broker.publish(messages(["c"], "q"))
    held = take(consumer, 4)
    assert len(held) == 4
    assert consumer.settle([Ack(tag=one.tag) for one in held]) == [True] * 4


def test_a_queue_that_was_deleted_while_nothing_listened_is_made_again(broker, consumer, other):
    broker.publish([message("one", "q")])
    consumer.settle([Ack(tag=take_one(consumer).tag)])
    consumer.rest()
    other.queue_delete("q")
    assert consumer.take(1, 0.1) == []
    broker.publish([message("two", "q")])
    assert ids(take(consumer, 1)) == ["two"]


def test_a_queue_is_made_again_as_it_was_declared(broker, consumer, other):
    broker.declare([Queue(name="q", exchange="jobs", exchange_type="topic", routing_key="jobs.#")])
    other.queue_delete("q")
    broker.publish([message("one", "q")])
    routed = message("two", "q")
    routed.route = Route(queue="q", exchange="jobs", routing_key="jobs.two")
    broker.publish([routed])
    assert ids(take(consumer, 2)) == ["one", "two"]


def test_what_waits_for_a_queue_that_is_made_again_finds_it(broker, consumer, other):
    broker.publish([message("later", "q", due=time.time() + 2)])
    other.queue_delete("q")
    heir = broker.consumer(["q"], "d" * 32)
    assert take(heir, 1)[0].queue == "q"
    heir.close()


def test_dead_letters_find_their_place_though_somebody_deleted_it(broker, consumer, other):
    broker.publish(messages(["a", "b"], "q"))
    first, second = take(consumer, 2)
    consumer.settle([DeadLetter(tag=first.tag, reason="one")])
    other.queue_delete("q.dlq")
    other.exchange_delete("q.dlx")
    assert consumer.settle([DeadLetter(tag=second.tag, reason="two")]) == [True]
    assert [(one.task_id, one.reason) for one in broker.dead("q")] == [("b", "two")]


def test_a_follow_up_without_a_way_is_told_apart_and_the_others_are_stored_once(broker, consumer, other):
    other.exchange_declare("nowhere", "direct", durable=True, auto_delete=False)
    broker.publish(messages(["a", "b"], "q"))
    first, second = take(consumer, 2)
    lost = message("lost", "next")
    lost.route = Route(queue="next", exchange="nowhere", routing_key="none")
    batch = [
        Ack(tag=first.tag, successors=[message("good", "next")]),
        Ack(tag=second.tag, successors=[lost]),
    ]
    for _ in range(3):
        with pytest.raises(QueueNotFound, match="nowhere"):
            consumer.settle(batch)
    assert consumer.settle(batch[:1]) == [True]
    assert consumer.settle([DeadLetter(tag=second.tag, reason="its follow-up has no way")]) == [True]
    assert broker.size("next").ready == 1
    assert [one.task_id for one in broker.dead("q")] == ["b"]


def test_a_message_that_is_larger_than_the_server_takes_is_refused_for_good(rabbitmq, broker):
    rabbitmq.ask("application:set_env(rabbit, max_message_size, 1000)")
    try:
        fresh = open_broker(_url(broker), {})  # what a channel may carry is fixed when it is opened
        with pytest.raises(EncodeError, match="larger than"):
            fresh.publish([message("large", "q", body=b"x" * 2000)])
        fresh.publish([message("small", "q")])
        fresh.close()
    finally:
        rabbitmq.ask("application:set_env(rabbit, max_message_size, 134217728)")


def _url(broker):
    address = broker.store.address
    (host, port) = address.nodes[0]
    return f"amqp://guest:guest@{host}:{port}/{address.vhost}?heartbeat=118"


def test_what_goes_back_at_rest_is_not_sent_here_again_nor_given_up(broker):
    queues = [f"q{number}" for number in range(4)]
    broker.publish([message(queue, queue) for queue in queues])
    busy = broker.consumer(queues, "b" * 32)
    seen = []
    for _ in range(8):
        held = take_one(busy)
        seen.append(held.deliveries)
        busy.rest()
        for queue in queues:
            if queue != held.queue:
                eventually(lambda queue=queue: broker.size(queue).ready == 1)
        assert busy.settle([Release(tag=held.tag)]) == [True]
        busy.rest()
        for queue in queues:
            eventually(lambda queue=queue: broker.size(queue).ready == 1)
    busy.close()
    assert max(seen) < 10, "a message that never ran is taken for poison"
    assert all(broker.size(queue).dead == 0 for queue in queues)


def test_counts_that_a_celery_worker_copied_into_a_later_try_do_not_count(broker, consumer, other):
    headers = {"lang": "py", "task": "t", "id": "1", "retries": 2, "x-skirret-deliveries": 9, "x-skirret-tries": 1}
    broker.declare([Queue(name="q")])
    other.basic_publish(amqp.Message("[]", application_headers=headers, delivery_mode=2), routing_key="q")
    assert take_one(consumer).deliveries == 0
    other.basic_publish(
        amqp.Message("[]", application_headers={**headers, "x-skirret-tries": 2}, delivery_mode=2), routing_key="q"
    )
    assert take_one(consumer).deliveries == 9


def test_a_virtual_host_that_is_made_anew_gets_all_that_is_needed(rabbitmq):
    host = rabbitmq.add_host()
    broker = open_broker(rabbitmq.url_of(host), {})
    broker.declare([Queue(name="q", exchange="jobs", exchange_type="topic", routing_key="jobs.#")])
    consumer = broker.consumer(["q"], "c" * 32)
    broker.publish([message("one", "q")])
    (held,) = take(consumer, 1)
    rabbitmq.delete_host(host)
    with pytest.raises(OperationalError):
        consumer.settle([Ack(tag=held.tag)])
    assert rabbitmq.add_host(host) == host
    assert consumer.take(1, 0.2) == []
    routed = message("two", "q")
    routed.route = Route(queue="q", exchange="jobs", routing_key="jobs.two")
    broker.publish([routed])
    (again,) = take(consumer, 1)
    assert ids([again]) == ["two"]
    assert consumer.settle([DeadLetter(tag=again.tag, reason="why not")]) == [True]
    assert [one.task_id for one in broker.dead("q")] == ["two"]
    consumer.close()
    broker.close()
    rabbitmq.delete_host(host)


def test_all_dead_letters_are_found_where_there_are_many(broker, consumer):
    broker.publish(messages([str(number) for number in range(1500)], "q"))
    held = take(consumer, 1500)
    consumer.settle([DeadLetter(tag=one.tag, reason="no") for one in held])
    letters = broker.dead("q", 5000)
    assert len(letters) == 1500
    assert broker.replay([one.key for one in letters]) == 1500
    assert (broker.size("q").dead, len(take(consumer, 1500))) == (0, 1500)


def test_what_is_dropped_from_a_quorum_queue_stays_dropped_however_much_it_is(broker):
    for number in range(6):
        queue = f"many-{number}"
        broker.publish(messages([str(number) for number in range(1500)], queue))
        with listing.reading(broker._store, queue) as found:
            assert len(found.arrived) == 1500
            found.drop(found.arrived, 5.0)
        time.sleep(0.3)  # what comes back is there by then
        assert broker.size(queue).ready == 0


@pytest.mark.parametrize("rests", [False, True])
def test_what_a_worker_settled_before_it_left_stays_settled_though_its_oldest_task_was_not_done(broker, rests):
    for number in range(4):
        queue = f"many-{number}"
        broker.publish(messages([str(number) for number in range(1000)], queue))
        consumer = broker.consumer([queue], "w" * 32)
        held = take(consumer, 1000)
        if rests:
            consumer.rest()  # it consumes from nowhere now
        assert all(consumer.settle([Ack(tag=one.tag) for one in held[1:]]))
        consumer.close()
        time.sleep(0.3)  # what comes back is there by then
        assert broker.size(queue).ready == 1


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_whoever_looks_at_dead_letters_while_others_do_sees_them_all(rabbitmq, rabbitmq_host, kind):
    broker = open_broker(rabbitmq.url_of(rabbitmq_host), {"queue_type": kind})
    broker.publish(messages(["a", "b"], "q"))
    consumer = broker.consumer(["q"], "c" * 32)
    consumer.settle([DeadLetter(tag=one.tag, reason="no") for one in take(consumer, 2)])
    consumer.close()
    looks = [Later(lambda: [len(broker.dead("q")) for _ in range(10)]) for _ in range(3)]
    assert [one.result(20.0) for one in looks] == [[2] * 10] * 3
    broker.close()


def test_a_message_that_is_released_again_and_again_is_not_counted_up_to_a_limit(broker, consumer):
    """RabbitMQ before 4.3 counts each return to a quorum queue, of which ours dead-letters a message at its 21st."""
    broker.publish([message("patient", "q")])
    for _ in range(25):
        held = take_one(consumer)
        assert held.deliveries <= 2
        assert consumer.settle([Release(tag=held.tag)]) == [True]
    assert ids(take(consumer, 1)) == ["patient"]
    assert broker.dead("q") == []


@pytest.mark.parametrize("kind, told", [("classic", 1), ("quorum", 0)])
def test_a_worker_says_once_that_a_classic_queue_does_not_count_who_dies(rabbitmq, rabbitmq_host, kind, told, caplog):
    broker = open_broker(rabbitmq.url_of(rabbitmq_host), {"queue_type": kind})
    broker.publish(messages(["a", "b"], "q"))
    consumer = broker.consumer(["q"], "c" * 32)
    assert ids(take(consumer, 2)) == ["a", "b"]
    consumer.close()
    heir = broker.consumer(["q"], "d" * 32)
    assert [one.deliveries for one in take(heir, 2)] == [1, 1]
    heir.close()
    broker.close()
    assert len([entry for entry in caplog.records if "does not count" in entry.message]) == told


def test_a_message_whose_headers_leave_no_room_for_ours_can_be_buried_and_put_off(broker, consumer, other):
    broker.declare([Queue(name="q")])
    large = amqp.Message("x", application_headers={"id": "large", "task": "t", "much": "y" * 130_900})
    other.basic_publish(large, "", "q")
    held = take_one(consumer)
    assert consumer.settle([DeadLetter(tag=held.tag, reason="much too much")]) == [True]
    (found,) = broker.dead("q")
    assert found.reason == "much too much"
    assert broker.replay([found.key]) == 1
    assert consumer.settle([Ack(tag=take_one(consumer).tag)]) == [True]


def test_a_message_that_only_its_publisher_may_sign_can_be_sent_on(broker, rabbitmq, rabbitmq_host):
    rabbitmq.add_user("writer", "secret")
    rabbitmq.allow(rabbitmq_host, "writer", configure=".*", write=".*", read=".*")
    broker.declare([Queue(name="q")])
    with amqp.Connection(
        f"127.0.0.1:{rabbitmq.port}", virtual_host=rabbitmq_host, userid="writer", password="secret"
    ) as line:
        line.channel().basic_publish(amqp.Message("x", user_id="writer", application_headers={"id": "1"}), "", "q")
    consumer = broker.consumer(["q"], "c" * 32)
    held = take_one(consumer)
    assert consumer.settle([DeadLetter(tag=held.tag, reason="signed")]) == [True]
    assert [one.reason for one in broker.dead("q")] == ["signed"]
    consumer.close()
