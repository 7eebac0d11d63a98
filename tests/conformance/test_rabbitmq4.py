"""RabbitMQ 4 sits the exam that 3.10 sits in test_rabbitmq."""

from __future__ import annotations

import pytest

from tests.conformance.test_rabbitmq import TestClassicQueues, TestQuorumQueues
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq_programs import rabbitmq4
from tests.servers.rabbitmq_servers import RabbitServer

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]  # the first run installs another Debian

__all__ = ["TestClassicQueues", "TestQuorumQueues"]


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory):
    server = RabbitServer(rabbitmq4(), tmp_path_factory.mktemp("rabbitmq4"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def proxy(rabbitmq):
    found = Proxy(rabbitmq.port)
    yield found
    found.close()
