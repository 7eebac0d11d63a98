"""Every operation whose line is cut, anywhere in what is sent or answered, is done once and nobody hangs.

By default it is cut behind words, on Redis 7; the long runs cut behind every byte, on every server.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from skirret.backends.open import open_backend
from skirret.brokers.open import open_broker
from skirret.coordination.open import open_coordination
from skirret.stores.redis import store as store_module
from tests.conformance import redis_cuts, redis_cuts_shared
from tests.conformance.cuts import Clients, cut_run, every_byte, every_byte_but_long_texts, frames, some_frames
from tests.servers.proxy import Proxy
from tests.servers.redis_servers import RedisCluster, RedisServer, redis6_binary, redis_binary, valkey_binary

OPERATIONS = {**redis_cuts.OPERATIONS, **redis_cuts_shared.OPERATIONS}
SIDES = ["request", "answer"]
CUT = {"client_name": "cut"}
WHOLE = {"client_name": "whole"}


@contextlib.contextmanager
def clients(url: str, away: str, plain: str, proxies: list[Proxy], servers: list) -> Iterator[Clients]:
    """Clients behind the proxies, and others whose lines are never cut."""

    def empty() -> None:
        for server in servers:
            server.ask("FLUSHALL")

    found = Clients(
        broker=open_broker(url, CUT),
        plain=open_broker(plain, WHOLE),
        backend=open_backend(url, CUT),
        reader=open_backend(plain, WHOLE),
        coordination=open_coordination(url, CUT),
        looker=open_coordination(plain, WHOLE),
        elsewhere=open_backend(away, CUT),
        proxies=proxies,
        empty=empty,
    )
    yield found
    for one in (found.broker, found.backend, found.coordination, found.elsewhere):
        one.close()
    for one in (found.plain, found.reader, found.looker):
        one.close()


@contextlib.contextmanager
def single(binary: str, directory) -> Iterator[Clients]:
    """One server for all, and another one for results that are apart."""
    servers = [RedisServer(binary, directory / name) for name in ("one", "other")]
    proxies = [Proxy(server.port) for server in servers]
    urls = [f"redis://127.0.0.1:{proxy.port}/0" for proxy in proxies]
    with clients(urls[0], urls[1], servers[0].url, proxies, servers) as found:
        yield found
    for one in (*proxies,):
        one.close()
    for one in servers:
        one.stop()


@contextlib.contextmanager
def clustered(binary: str, directory) -> Iterator[Clients]:
    """Three nodes behind proxies that they tell clients of: all clients go there, the plain ones at other times."""
    cluster = RedisCluster(binary, directory)
    away = RedisServer(binary, directory / "away")
    proxy = Proxy(away.port)
    proxies = [*cluster.proxies, proxy]
    for one in cluster.proxies:
        one.peers = tuple(other for other in cluster.proxies if other is not one)
    url = f"redis://127.0.0.1:{proxy.port}/0"
    with clients(cluster.url, url, cluster.url, proxies, [*cluster.nodes, away]) as found:
        yield found
    proxy.close()
    away.stop()
    cluster.stop()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """A line is replaced at once; in earnest there is a pause of up to 20 ms by chance, for many break together."""
    monkeypatch.setattr(store_module, "random", SimpleNamespace(uniform=lambda low, high: 0.0))


@pytest.fixture(scope="module")
def redis_clients(tmp_path_factory) -> Iterator[Clients]:
    with single(redis_binary(), tmp_path_factory.mktemp("cuts")) as found:
        yield found


@pytest.fixture(scope="module", params=["redis7", "redis6", "valkey", "cluster"])
def every_server(request, tmp_path_factory) -> Iterator[Clients]:
    directory = tmp_path_factory.mktemp("cuts")
    if request.param == "cluster":
        with clustered(redis_binary(), directory) as found:
            yield found
        return
    binary = {"redis7": redis_binary, "redis6": redis6_binary, "valkey": valkey_binary}[request.param]()
    with single(binary, directory) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_whose_line_is_cut_behind_any_word_is_done_once(redis_clients, name, side):
    run(redis_clients, name, side, 1, some_frames)


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["publish many", "take", "settle", "reap"])
def test_so_is_one_whose_repetition_is_cut_as_well(redis_clients, name, side):
    run(redis_clients, name, side, 2, some_frames)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_whose_line_is_cut_behind_any_byte_is_done_once(every_server, name, side):
    # To learn a cluster anew costs 50 ms a cut.
    run(every_server, name, side, 1, every_byte_but_long_texts if every_server.broker.store.is_cluster else every_byte)


REPEATABLE = [name for name, operation in OPERATIONS.items() if operation.is_repeatable]
"""Of the others the caller is told that they may have been done, and must not repeat them."""


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", REPEATABLE)
def test_so_is_one_whose_repetition_is_cut_behind_any_word_as_well(every_server, name, side):
    run(every_server, name, side, 2, frames)


def run(clients: Clients, name: str, side: str, times: int, at) -> None:
    clients.empty()
    began = time.monotonic()
    offsets, cuts = cut_run(clients, f"{name}-{side}-{times}".replace(" ", "-"), OPERATIONS[name], side, times, at)
    print(f"{name}, {side}, cut {times} time(s): {offsets} places, {cuts} cuts, {time.monotonic() - began:.1f} s")
    assert cuts >= offsets * times * 0.5, "too few lines were cut for this to say something"
