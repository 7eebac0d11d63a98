"""What the exams of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skirret.brokers.open import open_broker
from tests.servers.rabbitmq_programs import rabbitmq4 as programs4
from tests.servers.rabbitmq_servers import RabbitServer


@pytest.fixture(scope="session")
def rabbitmq4(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """RabbitMQ 4; its first run installs another Debian."""
    server = RabbitServer(programs4(), tmp_path_factory.mktemp("rabbitmq4"))
    yield server
    server.stop()


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
