"""Redis 7 and 6.2, Valkey and a cluster sit the exams for results and coordination; the second client has own lines."""

from __future__ import annotations

import pytest

from skirret.backends.open import open_backend
from skirret.coordination.open import open_coordination
from skirret.testing.conformance import BackendExam, CoordinationExam
from tests.servers.proxy import Proxy
from tests.servers.redis_servers import RedisCluster, RedisServer, redis6_binary, redis_binary, valkey_binary

SECOND = {"client_name": "second"}
"""Clients of one process share lines if they agree on everything, so the second one differs in this."""


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    server = RedisServer(redis_binary(), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def redis6_server(tmp_path_factory):
    server = RedisServer(redis6_binary(), tmp_path_factory.mktemp("redis-6"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def valkey_server(tmp_path_factory):
    server = RedisServer(valkey_binary(), tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = RedisCluster(redis_binary(), tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


class OnRedis:
    """Through a proxy that can be cut."""

    @pytest.fixture
    def server(self, redis_server):
        redis_server.ask("FLUSHALL")
        return redis_server

    @pytest.fixture
    def proxy(self, server):
        proxy = Proxy(server.port)
        yield proxy
        proxy.close()

    @pytest.fixture
    def url(self, proxy):
        return f"redis://127.0.0.1:{proxy.port}/0"

    @pytest.fixture
    def outage(self, proxy):
        return proxy.down


class OnRedis6(OnRedis):
    @pytest.fixture
    def server(self, redis6_server):
        redis6_server.ask("FLUSHALL")
        return redis6_server


class OnValkey(OnRedis):
    @pytest.fixture
    def server(self, valkey_server):
        valkey_server.ask("FLUSHALL")
        return valkey_server


class OnCluster:
    @pytest.fixture
    def url(self, cluster):
        cluster.empty()
        return cluster.url


class Backends(BackendExam):
    @pytest.fixture
    def backend(self, url):
        backend = open_backend(url)
        yield backend
        backend.close()

    @pytest.fixture
    def second_backend(self, url):
        backend = open_backend(url, SECOND)
        yield backend
        backend.close()


class Coordinations(CoordinationExam):
    @pytest.fixture
    def coordination(self, url):
        coordination = open_coordination(url)
        yield coordination
        coordination.close()

    @pytest.fixture
    def second_coordination(self, url):
        coordination = open_coordination(url, SECOND)
        yield coordination
        coordination.close()


class TestRedisBackend(OnRedis, Backends):
    pass


class TestRedisCoordination(OnRedis, Coordinations):
    pass


class TestRedis6Backend(OnRedis6, Backends):
    pass


class TestRedis6Coordination(OnRedis6, Coordinations):
    pass


class TestValkeyBackend(OnValkey, Backends):
    pass


class TestValkeyCoordination(OnValkey, Coordinations):
    pass


@pytest.mark.slow
class TestClusterBackend(OnCluster, Backends):
    pass


@pytest.mark.slow
class TestClusterCoordination(OnCluster, Coordinations):
    pass
