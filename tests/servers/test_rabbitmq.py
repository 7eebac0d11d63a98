"""The RabbitMQ that other tests stand on does what they ask of it, as a client that is not ours sees it."""

from __future__ import annotations

import contextlib
import ssl
import time

import amqp
import pytest
from amqp.exceptions import AccessRefused, NotAllowed, PreconditionFailed


@contextlib.contextmanager
def connected(server, host, place=None, **words):
    connection = amqp.Connection(place or f"127.0.0.1:{server.port}", virtual_host=host, confirm_publish=True, **words)
    sock = None
    try:
        connection.connect()
        sock = connection.transport.sock
        yield connection
    finally:
        connection.collect()
        if sock is not None:
            sock.close()  # the library forgets it where the server was the first to close


def drain_until(connection, done, seconds):
    end = time.monotonic() + seconds
    while not done():
        connection.drain_events(timeout=max(0.0, end - time.monotonic()))


def test_what_was_confirmed_outlives_a_kill(rabbitmq, rabbitmq_host):
    with connected(rabbitmq, rabbitmq_host) as connection:
        channel = connection.channel()
        channel.queue_declare("kept", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        channel.basic_publish(amqp.Message("x", delivery_mode=2), routing_key="kept")
        rabbitmq.restart()
    with connected(rabbitmq, rabbitmq_host) as connection:
        assert connection.channel().basic_get("kept", no_ack=True).body == "x"


def test_a_test_has_a_virtual_host_of_its_own(rabbitmq, rabbitmq_host):
    with rabbitmq.host() as other, connected(rabbitmq, other) as connection:
        connection.channel().queue_declare("here")
        with connected(rabbitmq, rabbitmq_host) as second, pytest.raises(amqp.NotFound):
            second.channel().queue_declare("here", passive=True)
    with pytest.raises(NotAllowed), connected(rabbitmq, other):
        pass


def test_a_line_may_be_encrypted(rabbitmq, rabbitmq_host):
    trust = {"ca_certs": str(rabbitmq.certificate), "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "localhost"}
    with connected(rabbitmq, rabbitmq_host, f"localhost:{rabbitmq.tls_port}", ssl=trust) as connection:
        assert connection.transport.sock.version() == "TLSv1.3"


def test_a_user_may_do_what_was_allowed_and_no_more(rabbitmq, rabbitmq_host):
    rabbitmq.add_user('r"eader', "pass\\wörd")
    rabbitmq.allow(rabbitmq_host, 'r"eader', configure="^$", write="^$")
    whose = {"userid": 'r"eader', "password": "pass\\wörd"}
    with connected(rabbitmq, rabbitmq_host, **whose) as connection, pytest.raises(AccessRefused):
        connection.channel().queue_declare("mine")


def test_a_policy_holds_for_the_queues_that_it_names(rabbitmq, rabbitmq_host):
    rabbitmq.set_policy(rabbitmq_host, "^small", {"max-length": 1})
    with connected(rabbitmq, rabbitmq_host) as connection:
        channel = connection.channel()
        for name in ("small", "large"):
            channel.queue_declare(name)
            for _ in range(3):
                channel.basic_publish(amqp.Message("x"), routing_key=name)
        assert channel.queue_declare("small", passive=True).message_count == 1
        assert channel.queue_declare("large", passive=True).message_count == 3


def test_whoever_publishes_during_the_alarm_is_blocked_and_told(rabbitmq, rabbitmq_host):
    told = []
    words = {"on_blocked": told.append, "on_unblocked": lambda: told.append("free")}
    with connected(rabbitmq, rabbitmq_host, **words) as connection:
        channel = connection.channel()
        with rabbitmq.blocked():
            channel._basic_publish(amqp.Message("x"), routing_key="nowhere")  # does not wait for its confirm
            drain_until(connection, lambda: told, 5.0)
            assert told == ["connection blocked, see broker logs"]
        drain_until(connection, lambda: len(told) == 2, 5.0)
        assert told[1] == "free"


def test_a_delivery_that_nobody_acknowledges_closes_the_channel_in_time(rabbitmq, rabbitmq_host, request):
    request.addfinalizer(lambda: rabbitmq.set_consumer_timeout(1800))
    rabbitmq.set_consumer_timeout(0.5)
    with connected(rabbitmq, rabbitmq_host) as connection:
        channel = connection.channel()
        channel.queue_declare("slow")
        channel.basic_publish(amqp.Message("x"), routing_key="slow")
        channel.basic_consume("slow", callback=lambda message: None)
        with pytest.raises(PreconditionFailed, match="delivery acknowledgement"):
            drain_until(connection, lambda: False, 3.0)


def test_a_paused_server_answers_when_it_goes_on(rabbitmq, rabbitmq_host):
    with connected(rabbitmq, rabbitmq_host) as connection:
        channel = connection.channel()
        with rabbitmq.paused():
            channel.send_method((50, 10), "BsbbbbbF", (0, "later", False, False, False, False, False, {}))
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.2)
        connection.drain_events(timeout=5.0)


def test_an_expression_that_fails_in_the_server_fails_the_test(rabbitmq):
    with pytest.raises(AssertionError, match="badmatch"):
        rabbitmq.ask("1 = 2")
    assert rabbitmq.ask("1 + 1") == "2"
