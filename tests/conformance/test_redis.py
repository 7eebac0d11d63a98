"""Redis 7 and 6.2, Valkey and a Redis Cluster sit the exam; each test meets an emptied server that can be cut off."""

from __future__ import annotations

import pytest

from skirret.backends.open import open_backend
from skirret.brokers.open import open_broker
from skirret.testing.conformance import BrokerExam
from tests.servers.proxy import Proxy
from tests.servers.redis_servers import RedisCluster, RedisServer, redis6_binary, redis_binary, valkey_binary

EXACT = {"priority_steps": list(range(10))}
"""A list for each priority: with kombu's four, neighbours share one and come in the order of their arrival."""


def behind_a_proxy(binary, directory):
    server = RedisServer(binary, directory)
    proxy = Proxy(server.port)
    yield server, proxy
    proxy.close()
    server.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    yield from behind_a_proxy(redis_binary(), tmp_path_factory.mktemp("redis"))


@pytest.fixture(scope="session")
def redis6_server(tmp_path_factory):
    yield from behind_a_proxy(redis6_binary(), tmp_path_factory.mktemp("redis-6"))


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory):
    yield from behind_a_proxy(valkey_binary(), tmp_path_factory.mktemp("valkey"))


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory):
    cluster = RedisCluster(redis_binary(), tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


class Clients:
    """Makes clients of `url`, which the sitter says, as processes of their own would have them."""

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
    def backend(self, url, broker):
        if not broker.capabilities.settles_results:
            pytest.skip("the broker declares that it does not settle results")
        backend = open_backend(url, {"client_name": "results"})
        yield backend
        backend.close()


class TestRedisBroker(Clients, BrokerExam):
    @pytest.fixture
    def url(self, redis_server):
        redis_server[0].ask("FLUSHALL")
        return f"redis://127.0.0.1:{redis_server[1].port}/0"

    @pytest.fixture
    def outage(self, redis_server):
        return redis_server[1].down


class TestRedis6Broker(Clients, BrokerExam):
    """The oldest that is supported: its scripts carry no flags, and it lacks what Redis 7 brought."""

    @pytest.fixture
    def url(self, redis6_server):
        redis6_server[0].ask("FLUSHALL")
        return f"redis://127.0.0.1:{redis6_server[1].port}/0"

    @pytest.fixture
    def outage(self, redis6_server):
        return redis6_server[1].down


class TestValkeyBroker(Clients, BrokerExam):
    @pytest.fixture
    def url(self, valkey_server):
        valkey_server[0].ask("FLUSHALL")
        return f"valkey://127.0.0.1:{valkey_server[1].port}/3"

    @pytest.fixture
    def outage(self, valkey_server):
        return valkey_server[1].down


class TestRedisClusterBroker(Clients, BrokerExam):
    @pytest.fixture
    def url(self, redis_cluster):
        redis_cluster.empty()
        return redis_cluster.url

    @pytest.fixture
    def outage(self, redis_cluster):
        return redis_cluster.down
