"""The Redis broker when the network or the server fails: nothing is lost, nothing is done twice, nobody hangs."""

from __future__ import annotations

import itertools
import os
import threading
import time

import pytest

from skirret.backends.open import open_backend
from skirret.brokers.open import open_broker
from skirret.brokers.redis import scripts
from skirret.errors import ImproperlyConfigured, OperationalError
from skirret.outcome import Ack, Release
from skirret.stores.redis import script as script_module
from skirret.stores.redis import store as store_module
from skirret.testing.conformance.material import Later, eventually, ids, message, messages, record, take
from tests.servers.proxy import Proxy
from tests.servers.redis_servers import RedisSentinel, RedisServer, redis_binary

_queues = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(redis_binary(), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def proxy(server):
    server.ask("FLUSHALL")
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def queue():
    return f"q{next(_queues)}"


@pytest.fixture
def open_(request):
    """Opens brokers that are closed in the end."""

    def opened(url, **options):
        broker = open_broker(url, {"client_name": f"c{next(_queues)}", **options})
        request.addfinalizer(broker.close)
        return broker

    return opened


@pytest.fixture
def broker(open_, proxy):
    return open_(f"redis://127.0.0.1:{proxy.port}/0")


@pytest.fixture
def plain(open_, server):
    return open_(server.url)


def test_a_take_of_a_frozen_server_that_is_done_later_loses_nothing(server, broker, plain, queue):
    """The command of the old line is still in the server's buffer when the new line asks again."""
    plain.publish(messages("abcd", queue))
    consumer = broker.consumer([queue], f"taker-{queue}")
    first = take(consumer, 1)
    with server.paused():
        with pytest.raises(OperationalError):
            consumer.take(2, 0.0)
        later = Later(lambda: consumer.take(2, 1.0))
    taken = [*first, *later.result(), *consumer.take(10, 0.1)]
    while more := consumer.take(10, 0.05):
        taken += more
    assert sorted(ids(taken)) == ["a", "b", "c", "d"]
    assert len({one.tag for one in taken}) == 4
    assert consumer.settle([Ack(tag=one.tag) for one in taken]) == [True] * 4
    assert plain.size(queue).held == 0
    consumer.close()


def test_a_reaper_that_saw_an_older_beat_takes_nothing_over(plain, queue):
    plain.publish(messages("ab", queue))
    consumer = plain.consumer([queue], f"taker-{queue}")
    held = take(consumer, 2)
    assert consumer.beat()
    slot = consumer._seat_of("").slot
    place = (slot.keys.held(consumer.cid),)
    for seen in ("0", "2", ""):
        assert plain.store.run(scripts.REAP, place, (*slot.head, consumer.cid, seen, 10, 100)) == [-1, 0]
    assert consumer.settle([Ack(tag=one.tag) for one in held]) == [True, True]
    consumer.close()


def test_a_batch_that_comes_after_its_successor_does_nothing(plain, queue):
    plain.publish(messages("ab", queue))
    consumer = plain.consumer([queue], f"taker-{queue}")
    a, b = take(consumer, 2)
    assert consumer.settle([Ack(tag=a.tag)]) == [True]
    seat = consumer._seat_of("")
    place = (seat.slot.keys.held(consumer.cid),)
    words = (*seat.slot.head, 0, 0, 0, 0, "celery-task-meta-", "mark-", "ack", f"{b.tag}:0:{queue}", "", "", 0)
    assert plain.store.run(scripts.SETTLE, place, words) == [b"stale"]
    assert consumer.settle([Ack(tag=b.tag)]) == [True]
    consumer.close()


def test_a_producer_of_a_server_that_swallows_everything_gets_an_error_in_time(broker, proxy, queue):
    broker.publish([message("before", queue)])
    with proxy.freeze():
        start = time.monotonic()
        with pytest.raises(OperationalError, match="did not answer in time"):
            broker.publish([message("x", queue, nonce=f"{queue}-x")])
        assert time.monotonic() - start < 5.5
    broker.publish([message("x", queue, nonce=f"{queue}-x")])
    assert [one.task_id for one in broker.peek(queue)] == ["before", "x"]


def test_an_old_line_that_is_half_open_is_found_out_before_it_is_trusted(broker, proxy, queue, monkeypatch):
    monkeypatch.setattr(store_module, "PING_AFTER", 0.0)
    broker.publish([message("before", queue)])
    proxy.abandon()
    start = time.monotonic()
    broker.publish([message("x", queue)])
    assert time.monotonic() - start < 3.0


def test_workers_go_on_after_the_server_was_killed_and_has_read_its_disk(tmp_path, open_, queue):
    server = RedisServer(redis_binary(), tmp_path / "aof", "--appendonly", "yes", "--appendfsync", "always")
    try:
        broker = open_(server.url, durability="fsync")
        consumer = broker.consumer([queue], f"taker-{queue}")
        backend = open_backend(server.url)
        broker.publish(messages([str(n) for n in range(20)], queue))
        held = take(consumer, 5)
        assert consumer.settle([Ack(tag=held[0].tag, result=record(f"{queue}-done"))]) == [True]
        for _ in range(3):
            server.kill()
            with pytest.raises(OperationalError):
                broker.publish([message("never", queue)])
            server.start()
            start = time.monotonic()
            assert eventually(lambda: take(consumer, 1))
            assert time.monotonic() - start < 5.0
        assert backend.fetch([f"{queue}-done"]) == {f"{queue}-done": b"{}"}
        assert consumer.settle([Release(tag=one.tag) for one in held[1:]]) == [True] * 4
        size = broker.size(queue)
        assert (size.ready, size.held) == (16, 3)
        consumer.close()
        backend.close()
    finally:
        server.stop()


def test_scripts_that_the_server_has_forgotten_are_told_again(server, broker, queue):
    consumer = broker.consumer([queue], f"taker-{queue}")
    for step in range(3):
        server.ask("SCRIPT", "FLUSH")
        broker.publish([message(f"one{step}", queue)])
        server.ask("SCRIPT", "FLUSH")
        broker.publish(messages([f"a{step}", f"b{step}"], queue))
        server.ask("SCRIPT", "FLUSH")
        held = take(consumer, 3)
        server.ask("SCRIPT", "FLUSH")
        assert consumer.settle([Ack(tag=one.tag) for one in held]) == [True] * 3
    assert broker.size(queue).ready == 0
    consumer.close()


def test_results_that_are_on_their_way_survive_forgotten_scripts_and_closed_lines(server, queue):
    backend = open_backend(server.url, {})
    for step, harm in enumerate([("SCRIPT", "FLUSH"), ("CLIENT", "KILL", "TYPE", "normal")] * 2):
        one, two = f"{queue}-{step}-one", f"{queue}-{step}-two"
        server.ask(*harm)
        finish = backend.begin_store([record(one)])
        server.ask(*harm)
        backend.store([record(two)])  # on a line of its own: whose answers are still to come is nobody else's
        finish()
        assert backend.fetch([one, two]) == {one: b"{}", two: b"{}"}
    backend.close()


def test_lines_that_the_server_closes_are_replaced(server, broker, queue):
    consumer = broker.consumer([queue], f"taker-{queue}")
    for step in range(5):
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        broker.publish([message(str(step), queue)])
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        (held,) = take(consumer, 1)
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        assert consumer.settle([Ack(tag=held.tag)]) == [True]
    consumer.close()


def test_a_waiting_worker_whose_bell_was_cut_is_rung_again(server, broker, queue):
    consumer = broker.consumer([queue], f"taker-{queue}")
    assert consumer.take(1, 0.05) == []
    later = Later(lambda: consumer.take(1, 20.0))
    assert not later.done.wait(0.05)
    server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    time.sleep(0.3)
    broker.publish([message("x", queue)])
    assert ids(later.result()) == ["x"]
    consumer.close()


@pytest.mark.parametrize("modern", [7, 99], ids=["scripts with flags", "scripts of version 6"])
def test_a_full_server_refuses_new_messages_and_lets_itself_be_emptied(tmp_path, open_, queue, modern, monkeypatch):
    monkeypatch.setattr(script_module, "MODERN", modern)
    server = RedisServer(redis_binary(), tmp_path / "small")
    try:
        broker = open_(server.url)
        consumer = broker.consumer([queue], f"taker-{queue}")
        broker.publish([message(str(n), queue, body=b"x" * 10_000) for n in range(200)])
        held = take(consumer, 20)
        server.ask("CONFIG", "SET", "maxmemory", "1mb")
        with pytest.raises(OperationalError, match="out of memory"):
            broker.publish([message("more", queue)])
        result = record(f"{queue}-0", payload=b'{"status": "SUCCESS"}')
        assert consumer.settle([Ack(tag=held[0].tag, result=result), Release(tag=held[1].tag)]) == [True, True]
        assert consumer.settle([Ack(tag=one.tag) for one in held[2:]]) == [True] * 18
        assert consumer.beat()
        while batch := consumer.take(50, 0.0):
            assert consumer.settle([Ack(tag=one.tag) for one in batch]) == [True] * len(batch)
        size = broker.size(queue)
        assert (size.ready, size.held) == (0, 0)
        server.ask("CONFIG", "SET", "maxmemory", "0")
        broker.publish([message("more", queue)])
        assert ids(take(consumer, 1)) == ["more"]
        consumer.close()
    finally:
        server.stop()


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
def test_a_server_that_evicts_tasks_is_refused(tmp_path, open_, queue, policy):
    server = RedisServer(redis_binary(), tmp_path / "evicting", "--maxmemory-policy", policy)
    try:
        with pytest.raises(ImproperlyConfigured, match=f"{policy}.*noeviction"):
            open_(server.url).consumer([queue], "cid")
    finally:
        server.stop()


def test_a_server_that_evicts_results_or_keeps_no_file_is_warned_of(tmp_path, open_, queue, caplog):
    server = RedisServer(redis_binary(), tmp_path / "evicting", "--maxmemory-policy", "volatile-ttl")
    try:
        broker = open_(server.url)
        for cid in ("a", "b"):
            broker.consumer([queue], cid).close()
        assert len([one for one in caplog.messages if "volatile-ttl" in one]) == 1
        assert len([one for one in caplog.messages if "append-only" in one]) == 1
    finally:
        server.stop()


def test_a_newer_layout_is_refused(server, open_, queue):
    server.ask("FLUSHALL")
    server.ask("SET", "skirret:layout", "99")
    with pytest.raises(ImproperlyConfigured, match="layout 99"):
        open_(server.url).publish([message("x", queue)])
    server.ask("FLUSHALL")
    open_(server.url).publish([message("x", queue)])


def test_databases_of_one_server_settle_in_one_step(server, open_, queue):
    server.ask("FLUSHALL")
    broker = open_(f"redis://127.0.0.1:{server.port}/2")
    backend = open_backend(f"redis://127.0.0.1:{server.port}/5", {"global_keyprefix": "mine:"})
    other = open_backend(f"redis://127.0.0.1:{server.port}/2")
    assert broker.identity == backend.identity
    assert broker.settles(backend)
    consumer = broker.consumer([queue], f"taker-{queue}")
    broker.publish(messages("ab", queue))
    a, b = take(consumer, 2)
    successor = message("next", queue)
    acks = [Ack(tag=a.tag, result=record("a", payload=b"of a"), successors=[successor]), Ack(tag=b.tag)]
    assert consumer.settle(acks) == [True, True]
    assert backend.fetch(["a"]) == {"a": b"of a"}
    assert other.fetch(["a"]) == {}
    assert ids(take(consumer, 1)) == ["next"]
    consumer.close()
    for one in (backend, other):
        one.close()


def test_a_consumer_belongs_to_its_process(broker, queue):
    consumer = broker.consumer([queue], f"taker-{queue}")
    child = os.fork()
    if child == 0:
        try:
            consumer.take(1, 0.0)
        except OperationalError as exc:
            os._exit(0 if "forked" in str(exc) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert consumer.beat()
    consumer.close()


def test_producers_and_workers_follow_a_failover(tmp_path, open_, queue):
    system = RedisSentinel(redis_binary(), tmp_path)
    try:
        broker = open_(system.url, master_name="mymaster")
        consumer = broker.consumer([queue], f"taker-{queue}")
        broker.publish([message("before", queue)])
        assert system.replica.ask("WAIT", "0", "0")
        eventually(lambda: system.replica.ask("LLEN", queue) == b":1\r\n")
        system.master.kill()
        start = time.monotonic()
        sent = threading.Event()

        def publish():
            while not sent.is_set():
                try:
                    broker.publish([message("after", queue, nonce=f"{queue}-after")])
                    sent.set()
                except OperationalError:
                    time.sleep(0.05)

        later = Later(publish)
        taken = []
        while len(taken) < 2 and time.monotonic() - start < 20.0:
            try:
                taken += consumer.take(2, 0.2)
            except OperationalError:
                time.sleep(0.05)
        later.result()
        assert ids(taken) == ["before", "after"]
        assert consumer.settle([Ack(tag=one.tag) for one in taken]) == [True, True]
        consumer.close()
    finally:
        system.stop()
