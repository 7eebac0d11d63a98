"""What the exams of this folder share."""

from __future__ import annotations

import pytest

from skirret.brokers.open import open_broker


@pytest.fixture
def broker(rabbitmq, rabbitmq_host):
    """A broker on a virtual host of its own of the shared RabbitMQ; exams bring theirs."""
    broker = open_broker(rabbitmq.url_of(rabbitmq_host), {})
    yield broker
    broker.close()


@pytest.fixture
def consumer(broker):
    """Who consumes its queue ``q``."""
    consumer = broker.consumer(["q"], "c" * 32)
    yield consumer
    consumer.close()
