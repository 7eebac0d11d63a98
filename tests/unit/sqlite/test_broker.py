"""What the embedded broker does beyond the exam: durability, bounds, and leaving nothing behind."""

from __future__ import annotations

import contextlib
import sqlite3
import time

import pytest

from skirret import clock as clocks
from skirret.brokers.base import Limits, Queue
from skirret.brokers.sqlite import broker as broker_room
from skirret.brokers.sqlite import subscription as subscription_room
from skirret.brokers.sqlite import taking
from skirret.errors import OperationalError, SkirretError
from skirret.message import Malformed
from skirret.outcome import Ack, DeadLetter, Defer, Release
from skirret.stores.sqlite import store as store_room
from skirret.testing.conformance.material import ids, message, record, take
from skirret.wire import envelope as wire

SURROGATE = "odd \ud800 text"


def count(store, table):
    with store.reading() as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_what_is_durable_is_synced_and_the_rest_is_not_whatever_came_before(store):
    def level(durable):
        with store.writing(durable=durable) as connection:
            return connection.execute("PRAGMA synchronous").fetchone()[0]

    full, normal = 2, 1
    assert [level(durable) for durable in (True, False, True, False, False, True)] == [
        full, normal, full, normal, normal, full,
    ]  # fmt: skip


@pytest.mark.parametrize("ask", ["publish", "settle", "take", "beat"])
def test_publishing_and_settling_are_durable_and_taking_and_beating_need_not_be(
    broker, store, consume, publish, monkeypatch, ask
):
    publish(2)
    consumer = consume()
    (held,) = consumer.take(1, 0)
    asked = []
    real = store.writing
    monkeypatch.setattr(store, "writing", lambda *args, **options: (asked.append(options), real(*args, **options))[1])
    {
        "publish": publish,
        "settle": lambda: consumer.settle([Ack(tag=held.tag)]),
        "take": lambda: consumer.take(1, 0),
        "beat": consumer.beat,
    }[ask]()
    assert [one.get("durable", True) for one in asked] == [ask in {"publish", "settle"}]


def test_the_log_is_not_checkpointed_by_sqlite_itself_but_by_us(broker, store, publish, path, monkeypatch):
    with store.reading() as connection:
        assert connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    publish(3)
    log = path.with_name(path.name + "-wal")
    assert log.stat().st_size > 0
    monkeypatch.setattr(store_room, "CHECKPOINT_PAGES", 1)
    before = path.stat().st_size
    publish(100)
    assert path.stat().st_size > before


def test_an_error_in_a_transaction_leaves_nothing_and_the_connection_fit(broker, store, publish):
    def fail():
        with store.writing() as connection:
            connection.execute("INSERT INTO queue VALUES ('ghost')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    publish()
    assert broker.names() == ["q"]


def test_a_nonce_is_forgotten_after_half_a_minute_and_swept_away(broker, store, publish, monkeypatch):
    publish(nonce="same")
    publish(nonce="same")
    assert broker.size("q").ready == 1
    monkeypatch.setattr(clocks, "wall", lambda: time.time() + 31)
    publish(nonce="same")
    assert broker.size("q").ready == 2
    monkeypatch.setattr(clocks, "wall", lambda: time.time() + 62)
    broker._sweep_at = 0.0
    publish(nonce="")
    assert count(store, "nonce") == 0


def test_a_worker_sweeps_nonces_and_expired_results(backend, store, consume, publish, monkeypatch):
    consumer = consume()
    publish(nonce="old")
    backend.store([record("short", ttl=5.0), record("long", ttl=500.0), record("ever")])
    monkeypatch.setattr(clocks, "wall", lambda: time.time() + 60)
    consumer.beat()
    assert count(store, "nonce") == 0
    assert count(store, "result") == 2


def test_a_clean_up_of_many_results_takes_several_transactions_and_leaves_what_lives(backend, store, monkeypatch):
    monkeypatch.setattr("skirret.backends.sqlite.CLEAN_BATCH", 10)
    backend.store([record(str(n), ttl=5.0) for n in range(35)] + [record("long", ttl=500.0)])
    monkeypatch.setattr(clocks, "wall", lambda: time.time() + 60)
    assert backend.cleanup() == 35
    assert count(store, "result") == 1


def test_who_beats_while_the_reaper_makes_up_its_mind_is_left_alone(broker, consume, publish, clock, monkeypatch):
    publish()
    limits = Limits(clock=clock)
    slow, reaper = consume(limits=limits), consume(limits=limits)
    (held,) = slow.take(1, 0)
    look = reaper._observer.look

    def look_and_lose_time(peers, me):
        gone = look(peers, me)
        if gone:
            assert slow.beat()
        return gone

    monkeypatch.setattr(type(reaper._observer), "look", lambda self, peers, me: look_and_lose_time(peers, me))
    for _ in range(8):
        clock.advance(5.0)
        assert reaper.reap() == 0
    assert slow.settle([Ack(tag=held.tag)]) == [True]
    assert not slow.fenced


def test_a_purge_of_many_takes_several_transactions(broker, publish, monkeypatch):
    monkeypatch.setattr(broker_room, "PURGE_BATCH", 10)
    publish(25)
    publish(17, due=time.time() + 3600)
    publish(3, queue="other")
    assert broker.purge("q") == 42
    assert broker.size("other").ready == 3


def test_a_take_of_large_messages_ends_at_its_bound_of_bytes(broker, consume, monkeypatch):
    monkeypatch.setattr(taking, "MAX_BYTES", 50_000)
    broker.publish([message(str(n), "q", body=bytes(30_000)) for n in range(5)])
    consumer = consume()
    assert [len(consumer.take(5, 0)) for _ in range(3)] == [2, 2, 1]


def test_old_broadcasts_are_swept_away(broker, store, monkeypatch):
    monkeypatch.setattr(subscription_room, "SWEEP_EVERY", 1)
    monkeypatch.setattr(subscription_room, "KEPT", 5)
    for number in range(9):
        broker.broadcast("news", str(number).encode())
    assert count(store, "hint") == 5
    monkeypatch.setattr(clocks, "wall", lambda: time.time() + 61)
    broker.broadcast("news", b"late")
    assert count(store, "hint") == 1


def test_after_all_is_done_nothing_is_left(broker, store, consume, publish):
    publish(6)
    publish(2, queue="later", due=time.time() + 3600)
    broker.purge("later")
    consumer = consume()
    a, b, c, d, e, f = take(consumer, 6)
    consumer.settle(
        [Ack(tag=a.tag), Release(tag=b.tag), Defer(tag=c.tag, counted="crash"), DeadLetter(tag=d.tag, reason="x")]
    )
    consumer.settle([Ack(tag=e.tag), Ack(tag=f.tag)])
    consumer.settle([Ack(tag=one.tag) for one in take(consumer, 2)])
    broker.drop_dead([one.key for one in broker.dead()])
    consumer.close()
    tables = ("message", "ready", "delayed", "held", "consumer", "dead")
    assert {table: count(store, table) for table in tables} == dict.fromkeys(tables, 0)


def test_a_message_is_always_in_exactly_one_place(broker, store, consume, publish):
    publish(5)
    publish(3, due=time.time() + 3600)
    consumer = consume()
    one, two, *_ = take(consumer, 4)
    consumer.settle([Release(tag=one.tag), Defer(tag=two.tag, due=time.time() + 3600)])
    with store.reading() as connection:
        places = "SELECT id FROM ready UNION ALL SELECT id FROM delayed UNION ALL SELECT id FROM held"
        where = sorted(row[0] for row in connection.execute(places))
        assert where == sorted(row[0] for row in connection.execute("SELECT id FROM message"))
    assert len(where) == 8


def test_text_that_utf_8_cannot_hold_is_no_hindrance(broker, backend, consume):
    broker.publish([message(SURROGATE, SURROGATE, nonce=SURROGATE)])
    broker.declare([Queue(name=SURROGATE)])
    assert broker.size(SURROGATE).ready == 1
    consumer = consume(SURROGATE)
    (held,) = take(consumer, 1)
    assert ids([held]) == [SURROGATE]
    consumer.settle([DeadLetter(tag=held.tag, reason=SURROGATE, result=record(SURROGATE, "FAILURE", b"x"))])
    assert backend.fetch([SURROGATE]) == {SURROGATE: b"x"}
    assert backend.wait([SURROGATE], 0) == {SURROGATE: b"x"}
    assert backend.forget([SURROGATE]) == 1
    assert len(broker.dead(SURROGATE)) == 1


@pytest.mark.parametrize("raw", [b"", b"\xff\x00", b"{}", b'{"headers": {"id": "\\ud800"}}', b"[" * 10_000])
def test_foreign_bytes_are_delivered_as_they_came(broker, consume, raw):
    broker.inject("q", raw)
    (delivery,) = take(consume(), 1)
    assert delivery.raw == raw
    assert isinstance(wire.head(raw, max_bytes=1000), Malformed)


@pytest.mark.parametrize("count_", [0, 1, 2, 17, 300, 1000])
def test_any_number_of_results_is_fetched_at_once(backend, count_):
    names = [f"r{n}" for n in range(count_)]
    backend.store([record(name, payload=name.encode()) for name in names])
    assert backend.fetch([*names, "none"]) == {name: name.encode() for name in names}


def test_keys_that_are_no_keys_of_ours_name_no_dead_letter(broker):
    assert broker.replay(["", "x", "-1", "1.0", "٣", "9" * 40]) == 0
    assert broker.drop_dead(["", "x", "-1", "1.0", "٣", "9" * 40]) == 0


def test_a_damaged_file_is_an_error_that_says_what_to_do(broker, path, publish):
    publish(200)
    broker.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))
    with pytest.raises(OperationalError, match=r"damaged.*\.recover"):
        broker.size("q")


def test_every_error_of_the_driver_becomes_one_of_ours(broker, store, monkeypatch):
    real = sqlite3.connect

    class Failing(sqlite3.Connection):
        def execute(self, sql, *args):
            if "INSERT" in sql:
                exc = sqlite3.OperationalError("disk I/O error")
                exc.sqlite_errorcode, exc.sqlite_errorname = sqlite3.SQLITE_IOERR, "SQLITE_IOERR_FSYNC"
                raise exc
            return super().execute(sql, *args)

    broker.names()
    broker.close()
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: real(*args, **options, factory=Failing))
    with pytest.raises(SkirretError, match="SQLITE_IOERR_FSYNC"):
        broker.consumer(["q"], "c")
    monkeypatch.undo()
    broker.consumer(["q"], "c").close()
