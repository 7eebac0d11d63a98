"""Calls to a Redis server that is silent, half gone or full: each ends in time, in words, and the next one works."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skirret import Skirret
from skirret.brokers.base import Queue
from skirret.brokers.open import open_broker
from skirret.errors import BackendError, ImproperlyConfigured, OperationalError
from skirret.outcome import Ack
from skirret.stores.redis import store as store_module
from skirret.stores.redis.store import Store, store_at
from skirret.url import parse
from tests.servers.proxy import Proxy
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow]

REFUSAL = 5.5
"""Seconds after which a call has ended, one way or the other."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(redis_binary(), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    server.ask("FLUSHALL")
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def url(proxy: Proxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


@pytest.fixture
def app(url: str) -> Iterator[Skirret]:
    app = Skirret("calls", broker=url, backend=url)
    yield app
    app.close()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = store_at(parse(url), {})
    yield store
    store.close()


def seconds_of(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def refused(call: Callable[[], object], error: type[Exception] = OperationalError) -> float:
    """Seconds until the call raises."""

    def raises() -> None:
        with pytest.raises(error):
            call()

    return seconds_of(raises)


def test_a_producer_hears_of_a_silent_server_in_time_whichever_way_it_sends(app: Skirret, proxy: Proxy) -> None:
    app.send_task("work")
    with proxy.freeze():
        assert refused(lambda: app.send_task("work")) <= REFUSAL
        assert refused(lambda: app.send_many([app.signature("work") for _ in range(50)])) <= REFUSAL
    app.send_task("work")


def test_coroutines_hear_of_a_silent_server_in_time_also_those_that_came_later(app: Skirret, proxy: Proxy) -> None:
    @app.task
    def work() -> None: ...

    async def send_after(pause: float) -> float:
        await asyncio.sleep(pause)
        began = time.monotonic()
        with pytest.raises(OperationalError):
            await work.adelay()
        return time.monotonic() - began

    async def send_several() -> list[float]:
        await work.adelay()
        proxy.frozen = True
        try:
            return await asyncio.gather(*(send_after(0.7 * n) for n in range(8)))
        finally:
            proxy.frozen = False

    assert max(asyncio.run(send_several())) <= REFUSAL
    app.send_task("work")


def test_a_producer_that_begins_while_the_server_is_silent_hears_of_it_in_time(app: Skirret, proxy: Proxy) -> None:
    with proxy.freeze():
        assert refused(lambda: app.send_task("work")) <= REFUSAL
        assert refused(lambda: app.AsyncResult("an-id").get(timeout=20), BackendError) <= REFUSAL
    app.send_task("work")


def test_a_dead_server_is_told_of_at_once(app: Skirret, proxy: Proxy) -> None:
    app.send_task("work")
    with proxy.down():
        assert refused(lambda: app.send_task("work")) <= 2.0
    app.send_task("work")


def test_while_a_server_is_silent_new_lines_are_tried_briefly(store: Store, proxy: Proxy) -> None:
    store.call("PING")
    with proxy.freeze():
        assert refused(lambda: store.call("PING")) >= 3.9
        assert 1.9 <= refused(lambda: store.call("PING")) <= 2.5
        assert refused(store.open) <= 2.5
    assert store.call("PING") == b"PONG"


def test_a_slow_server_that_was_silent_is_good_enough_again(store: Store, proxy: Proxy) -> None:
    with proxy.freeze():
        refused(lambda: store.call("PING"))
    proxy.delay = 0.3
    assert store.call("PING") == b"PONG"


def test_of_many_old_lines_one_is_asked_whether_it_is_good(
    store: Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.delay = 0.1  # so that all of them are in use at once
    threads = [threading.Thread(target=store.call, args=("PING",)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    proxy.delay = 0.0
    monkeypatch.setattr(store_module, "PING_AFTER", 0.0)
    proxy.abandon()
    assert seconds_of(lambda: store.call("PING")) <= 1.5


def test_killed_lines_are_replaced_without_a_word(app: Skirret, server: RedisServer) -> None:
    for _ in range(20):
        app.send_task("work")
        server.ask("CLIENT", "KILL", "TYPE", "normal")
    assert app.broker.size("celery").ready == 20


def test_a_replica_is_refused_at_first_and_waited_for_once_it_was_the_master(server: RedisServer) -> None:
    first, later = open_broker(server.url, {"client_name": "first"}), open_broker(server.url, {"client_name": "later"})
    first.declare([Queue(name="celery")])
    server.ask("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(OperationalError, match="has become a replica"):
            first.declare([Queue(name="celery")])
        with pytest.raises(ImproperlyConfigured, match="sentinel://"):
            later.declare([Queue(name="celery")])
    finally:
        server.ask("REPLICAOF", "NO", "ONE")
        first.declare([Queue(name="celery")])
        for broker in (first, later):
            broker.close()


def test_a_full_server_refuses_tasks_in_words_and_lets_workers_drain_it(tmp_path: Path) -> None:
    server = RedisServer(redis_binary(), tmp_path, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    broker = open_broker(server.url)
    app = Skirret("full", broker=server.url, backend=server.url)
    try:
        consumer = broker.consumer(["celery"], "a" * 32)

        def fill() -> None:
            for _ in range(1000):
                app.send_task("work", ("x" * 10_000,), retry=False)

        with pytest.raises(OperationalError, match=r"out of memory \(maxmemory\)"):
            fill()
        waiting = broker.size("celery").ready
        assert waiting > 10
        done = 0
        while taken := consumer.take(10, 0.0):
            assert consumer.beat()
            assert all(consumer.settle([Ack(tag=delivery.tag) for delivery in taken]))
            done += len(taken)
        assert done == waiting
        app.send_task("work", ("x" * 10_000,), retry=False)
        consumer.close()
    finally:
        app.close()
        broker.close()
        server.stop()
