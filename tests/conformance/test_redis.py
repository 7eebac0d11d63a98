"""Redis sits the exam: each test meets an emptied server through a proxy, so that it can be cut off."""

from __future__ import annotations

import pytest

from skirret.brokers.open import open_broker
from skirret.testing.conformance import BrokerExam
from tests.servers.proxy import Proxy
from tests.servers.redis_servers import RedisServer, redis_binary

EXACT = {"priority_steps": list(range(10))}
"""A list for each priority: with kombu's four, neighbours share one and come in the order of their arrival."""


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    server = RedisServer(redis_binary(), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_proxy(redis_server):
    proxy = Proxy(redis_server.port)
    yield proxy
    proxy.close()


class OnRedis:
    """Takes `outage` from this file rather than from the exam."""

    @pytest.fixture
    def proxy(self, redis_server, redis_proxy):
        redis_server.ask("FLUSHALL")
        return redis_proxy

    @pytest.fixture
    def url(self, proxy):
        return f"redis://127.0.0.1:{proxy.port}/0"

    @pytest.fixture
    def outage(self, proxy):
        return proxy.down


class TestRedisBroker(OnRedis, BrokerExam):
    examples = 25

    @pytest.fixture
    def broker(self, url):
        broker = open_broker(url, EXACT)
        yield broker
        broker.close()

    @pytest.fixture
    def second_broker(self, url):
        broker = open_broker(url, {**EXACT, "client_name": "second"})
        yield broker
        broker.close()

    @pytest.fixture
    def backend(self, url):
        from skirret.backends.open import open_backend

        backend = open_backend(url, {"client_name": "results"})
        yield backend
        backend.close()
