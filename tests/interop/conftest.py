"""What the tests of this folder share: a real Redis server, and apps of both sides on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import celery
import pytest
import redis

from skirret import Skirret
from tests.interop.fleet import end
from tests.servers.redis_servers import RedisServer, redis_binary

EVERY = ["json", "msgpack", "yaml", "pickle"]

Sides = Callable[..., tuple[Skirret, celery.Celery]]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(redis_binary(), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    """A driver's client, on an empty server."""
    client = redis.Redis.from_url(server.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def url(server: RedisServer, client: redis.Redis) -> str:
    """The address of an empty server."""
    return server.url


@pytest.fixture
def sides(url: str) -> Iterator[Sides]:
    """Makes one app of each side with the same settings, ours first."""
    apps: list[tuple[Skirret, celery.Celery]] = []

    def make(broker: str = "memory://", **conf: object) -> tuple[Skirret, celery.Celery]:
        ours = Skirret("ours", broker=broker, backend=url, set_as_current=False)
        theirs = celery.Celery("theirs", broker=broker, backend=url, set_as_current=False)
        for app in (ours, theirs):
            app.conf.update({"accept_content": EVERY, "result_accept_content": EVERY, **conf})
        apps.append((ours, theirs))
        return apps[-1]

    yield make
    for ours, theirs in apps:
        ours.close()
        end(theirs)
