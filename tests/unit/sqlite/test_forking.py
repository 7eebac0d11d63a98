"""Forks: neither side may damage the file of the other, whoever forks and whatever other threads do meanwhile."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import traceback
from pathlib import Path

import pytest

from skirret.brokers.sqlite import SqliteBroker
from skirret.errors import OperationalError
from skirret.stores.sqlite import forking
from skirret.testing.conformance.material import Later, ids, message, record

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="this system does not fork"),
    # Python 3.12 and later warn of what is tested here.
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


def in_child(work, patience=30.0):
    """Run `work` in a forked child; fails if it fails there."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def is_sound(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_a_child_publishes_stays_when_its_parent_closes_the_file(broker, path, publish):
    """A child that believed in the locks of its parent would lose its log to the last process that closes the file."""
    publish()
    ready, go = os.pipe(), os.pipe()

    def work():
        broker.publish([message("early", "q")])
        os.write(ready[1], b".")
        os.read(go[0], 1)
        broker.publish([message("late", "q")])

    child = in_child(work)
    os.read(ready[0], 1)
    broker.close()
    with contextlib.closing(sqlite3.connect(path)) as last:  # checkpoints, and deletes the log if nobody else is there
        last.execute("SELECT count(*) FROM message").fetchone()
    os.write(go[1], b".")
    assert ended(child) == 0
    assert [one.task_id for one in broker.peek("q")][1:] == ["early", "late"]
    assert is_sound(path)
    for descriptor in (*ready, *go):
        os.close(descriptor)


def test_no_connection_is_open_at_the_moment_of_a_fork(broker, store, consume, publish):
    publish()
    consumer = consume()
    found = []

    def work():
        found.extend(one.connection for one in store._sessions if one.connection is not None)
        assert found == []
        descriptors = list(Path("/proc/self/fd").iterdir())
        assert descriptors
        assert not [one for one in descriptors if str(one.resolve()).startswith(str(store.path))]

    assert ended(in_child(work)) == 0
    assert len(consumer.take(1, 0)) == 1


def test_a_fork_between_the_transactions_of_busy_threads_harms_nobody(broker, path):
    stop = threading.Event()
    counts = [0, 0]

    def busy(number):
        while not stop.is_set():
            broker.publish([message(f"{number}.{counts[number]}", "q")])
            counts[number] += 1

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    children = [in_child(lambda n=n: broker.publish([message(f"child {n}", "q")])) for n in range(10)]
    codes = [ended(child) for child in children]
    stop.set()
    for thread in threads:
        thread.join(10)
    assert codes == [0] * 10
    stored = [one.task_id for one in broker.peek("q", 100_000)]
    assert len(stored) == len(set(stored)) == sum(counts) + 10
    assert is_sound(path)


def test_a_waiting_take_of_the_parent_goes_on_over_a_fork(broker, consume):
    consumer = consume()
    later = Later(lambda: consumer.take(1, 30.0))
    assert ended(in_child(lambda: broker.publish([message("of the child", "q")]))) == 0
    assert ids(later.result()) == ["of the child"]


def test_a_consumer_stays_with_its_process(broker, consume, publish):
    publish()
    consumer = consume()
    (_held,) = consumer.take(1, 0)

    def work():
        with pytest.raises(OperationalError, match="make a new one"):
            consumer.take(1, 0)
        with pytest.raises(OperationalError, match="make a new one"):
            consumer.beat()
        consumer.close()  # not the child's to close

    assert ended(in_child(work)) == 0
    assert broker.size("q").held == 1
    assert consumer.beat()


def test_waiting_and_listening_work_in_a_child(broker, backend):
    backend.wait(["x"], 0.01)
    subscription = broker.subscribe(["news"])

    def work():
        Later(lambda: backend.store([record("x", payload=b"1")]))
        assert backend.wait(["x"], 10.0) == {"x": b"1"}
        broker.broadcast("news", b"2")
        assert subscription.receive(10.0) == [("news", b"2")]

    assert ended(in_child(work)) == 0
    assert subscription.receive(10.0) == [("news", b"2")]
    subscription.close()


def test_a_fork_inside_a_transaction_leaves_the_child_without_the_file(broker, store, publish):
    """Nobody can close the connection then, so the child must not touch the file; the parent goes on."""
    publish()

    def work():
        with pytest.raises(OperationalError, match="forked while"):
            broker.publish([message("no", "q")])

    with store.writing() as connection:
        child = in_child(work)
        assert ended(child) == 0
        connection.execute("SELECT 1")
    publish()
    assert broker.size("q").ready == 2


FORK_IN_C = """
import ctypes
if sys.argv[2] == "open":
    broker.publish([message("parent", "q")])
child = ctypes.PyDLL(None).fork()
if child == 0:
    try:
        broker.publish([message("child", "q")])
        say("stored")
    except Exception as exc:
        say(type(exc).__name__, exc)
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_fork_that_python_did_not_see_is_noticed(program, broker):
    answer = program(FORK_IN_C, "open").line()
    assert answer.startswith("OperationalError this process was forked while its parent had")
    assert "lazy-apps" in answer
    assert [one.task_id for one in broker.peek("q")] == ["parent"]


def test_a_fork_that_python_did_not_see_is_harmless_before_the_file_was_opened(program, broker):
    assert program(FORK_IN_C, "closed").line() == "stored"
    assert [one.task_id for one in broker.peek("q")] == ["child"]


def test_a_fork_waits_for_a_transaction_of_another_thread(broker, store, publish):
    publish()
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with store.writing():
            inside.set()
            leave.wait(10)

    later = Later(hold)
    assert inside.wait(10)
    shut = Later(forking.gate.shut)
    assert not shut.done.wait(0.05)
    leave.set()
    assert shut.result() is True
    forking.gate.open()
    later.result()
    assert SqliteBroker(store.path).size("q").ready == 1
