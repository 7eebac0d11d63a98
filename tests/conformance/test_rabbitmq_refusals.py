"""Who may not come in to RabbitMQ is told why and what to do."""

from __future__ import annotations

import pytest

from skirret import Skirret
from skirret.brokers.open import open_broker
from skirret.errors import OperationalError
from skirret.outcome import Ack
from skirret.testing.conformance.material import body_of, message, take

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def told(url: str, **options: object) -> str:
    """What a call says."""
    broker = open_broker(url, options)
    try:
        with pytest.raises(OperationalError) as caught:
            broker.size("q")
    finally:
        broker.close()
    return str(caught.value)


def test_a_wrong_password_is_told(rabbitmq, rabbitmq_host):
    said = told(rabbitmq.url_of(rabbitmq_host, password="wrong"))
    assert "user name, password or permissions are wrong" in said
    assert "wrong@" not in said


def test_a_missing_virtual_host_is_told_by_name(rabbitmq):
    said = told(rabbitmq.url_of("nowhere"))
    assert "the virtual host is missing, or this user may not enter it" in said
    assert "nowhere" in said


def test_a_missing_permission_is_told_with_what_it_is_for(rabbitmq, rabbitmq_host):
    rabbitmq.add_user("reader", "secret")
    rabbitmq.allow(rabbitmq_host, "reader", configure="^$", write=".*", read=".*")
    app = Skirret("x", broker=rabbitmq.url_of(rabbitmq_host, "reader", "secret"), set_as_current=False)
    with app, pytest.raises(OperationalError, match=r"needs configure, write and read.*'q"):
        app.send_task("t", queue="q", retry=False)


def test_an_unknown_certificate_is_told_and_a_known_one_lets_in(rabbitmq, rabbitmq_host):
    said = told(rabbitmq.tls_url_of(rabbitmq_host))
    assert "certificate" in said
    broker = open_broker(rabbitmq.tls_url_of(rabbitmq_host), {"ssl": {"ca_certs": str(rabbitmq.certificate)}})
    assert broker.size("q").ready == 0
    broker.close()


def test_an_encrypted_line_carries_more_than_it_takes_at_once(rabbitmq, rabbitmq_host):
    broker = open_broker(rabbitmq.tls_url_of(rabbitmq_host), {"ssl": {"ca_certs": str(rabbitmq.certificate)}})
    large = [message(name, "q", body=name.encode() * 3_000_000) for name in "ab"]
    broker.publish(large)
    consumer = broker.consumer(["q"], "c" * 32)
    held = take(consumer, 2)
    assert [body_of(one.raw) for one in held] == [one.envelope.body for one in large]
    assert consumer.settle([Ack(tag=one.tag) for one in held]) == [True, True]
    consumer.close()
    broker.close()
