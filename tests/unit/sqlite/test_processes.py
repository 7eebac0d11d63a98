"""Several processes at one file: crashes, zombies, locks, wake-up."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sqlite3
import time

import pytest

from skirret import proof
from skirret.brokers.base import Limits
from skirret.brokers.sqlite import SqliteBroker
from skirret.errors import OperationalError
from skirret.outcome import Ack
from skirret.testing.conformance.material import Later, ids, message, messages, take

needs_proc = pytest.mark.skipif(not proof.home(), reason="this system does not prove deaths")

HOLD = """
consumer = broker.consumer(["q"], "holder")
say(len(consumer.take(20, 10.0)))
{then}
"""
SLEEP = "time.sleep(600)"


@needs_proc
def test_the_work_of_a_killed_process_is_taken_over_at_once(program, consume, publish, clock):
    names = publish(20)
    holder = program(HOLD.format(then=SLEEP))
    assert holder.line() == "20"
    heir = consume(limits=Limits(clock=clock))
    assert heir.reap() == 0, "it lives"
    holder.kill()
    holder.wait(10)
    assert heir.reap() == 20, "no lease needs to run out for what is proven dead"
    again = take(heir, 20)
    assert ids(again) == names
    assert {one.deliveries for one in again} == {1}


@needs_proc
def test_a_process_that_is_dead_but_not_buried_counts_as_dead(program, consume, publish):
    publish()
    holder = program(HOLD.format(then=SLEEP))
    holder.line()
    heir = consume()
    os.kill(holder.pid, signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead now, and a zombie until somebody waits for it
    assert heir.reap() == 1


def test_a_stopped_process_is_not_dead_and_is_refused_when_it_comes_back(program, broker, consume, publish, clock):
    (name,) = publish()
    holder = program(
        """
consumer = broker.consumer(["q"], "holder")
(held,) = consumer.take(20, 10.0)
say("held")
sys.stdin.readline()
ack = Ack(tag=held.tag, result=record("x", payload=b"of the zombie"))
say(consumer.settle([ack]), consumer.take(1, 0), consumer.fenced)
"""
    )
    assert holder.line() == "held"
    os.kill(holder.pid, signal.SIGSTOP)
    heir = consume(limits=Limits(clock=clock))
    back = 0
    for _ in range(7):
        assert back == 0
        clock.advance(5.0)
        back = heir.reap()
    assert back == 1
    assert ids(take(heir, 1)) == [name]
    os.kill(holder.pid, signal.SIGCONT)
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.line() == "[False] [] True"
    assert broker.size("q").held == 1


@pytest.mark.parametrize(
    "where, pid, born",
    [
        ("", 1, 1),
        ("another machine", 1, 1),
        (proof.home(), os.getpid(), 0),
        (proof.home(), 0, 5),
        (proof.home(), -1, 5),
    ],
    ids=["nowhere", "elsewhere", "unknown birth", "no process", "no such process"],
)
def test_what_is_not_known_is_not_called_dead(where, pid, born):
    assert not proof.is_dead(where, pid, born)


@needs_proc
def test_a_process_number_that_was_given_anew_proves_the_death_of_the_old_one():
    me, born = os.getpid(), proof.birth(os.getpid())
    assert not proof.is_dead(proof.home(), me, born)
    assert proof.is_dead(proof.home(), me, born - 1)


@needs_proc
def test_a_process_that_is_hidden_from_us_is_not_called_dead(monkeypatch):
    def hidden(pid):
        raise FileNotFoundError

    monkeypatch.setattr(proof, "birth", hidden)
    assert not proof.is_dead(proof.home(), os.getpid(), 5)


def test_of_processes_that_are_killed_again_and_again_every_message_is_done_once(program, broker, backend, path):
    """Workers die at any instruction; what they acknowledged stays, what they held comes back, the file is sound."""
    count = 600
    names = [f"m{n}" for n in range(count)]
    broker.publish(messages(names, "q"))
    worker = """
consumer = broker.consumer(["q"], uuid.uuid4().hex, limits=Limits(deliveries=1000))
say("up")
while True:
    consumer.reap()
    batch = consumer.take(7, 0.05)
    consumer.settle([Ack(tag=d.tag, result=record(id_of(d.raw), payload=str(os.getpid()).encode())) for d in batch])
"""
    victims = [program(worker) for _ in range(2)]
    for _ in range(4):
        for number, victim in enumerate(victims):
            assert victim.line() == "up"
            time.sleep(0.02)  # some way into its work; any way is good
            victim.kill()
            victim.wait(10)  # one that waits for the disk dies later
            victims[number] = program(worker)
    deadline = time.monotonic() + 40
    while len(backend.fetch(names)) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(backend.fetch(names)) == count
    for victim in victims:
        victim.kill()
        victim.wait(10)
    last = broker.consumer(["q"], "last")
    last.reap()
    assert last.take(10, 0) == []
    last.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for table in ("message", "ready", "held", "delayed", "dead", "consumer"):
            assert connection.execute(f"SELECT * FROM {table}").fetchall() == [], table


def test_a_process_that_hangs_with_the_lock_is_named(program, path, publish):
    publish()
    hog = program(
        f"""
import fcntl
lock = open(str(path) + ".wlock", "r+b")
fcntl.flock(lock, fcntl.LOCK_EX)
say("locked")
{SLEEP}
"""
    )
    assert hog.line() == "locked"
    impatient = SqliteBroker(path, 0.1)
    with pytest.raises(OperationalError, match=rf"locked by process {hog.pid} for 0.1 s"):
        impatient.publish([message("no", "q")])
    assert impatient.size("q").ready == 1, "reading goes on"
    hog.kill()
    hog.wait(10)
    impatient.publish([message("yes", "q")])
    impatient.close()


def test_a_program_that_locks_the_database_itself_is_an_error_that_says_so(path, publish):
    publish()
    impatient = SqliteBroker(path, 0.1)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked by another program"):
            impatient.publish([message("no", "q")])
        shell.execute("ROLLBACK")
    impatient.publish([message("yes", "q")])
    assert impatient.size("q").ready == 2
    impatient.close()


def test_a_lock_file_that_is_deleted_is_made_anew(broker, path, publish):
    publish()
    lock = path.with_name(path.name + ".wlock")
    with lock.open("rb") as old:
        fcntl.flock(old, fcntl.LOCK_EX)
        lock.unlink()
        publish()
    assert lock.exists()
    assert broker.size("q").ready == 2


def test_a_task_of_another_process_wakes_an_idle_consumer_within_milliseconds(program, consume, broker):
    consumer = consume()
    sender = program(
        """
for n in range(40):
    sys.stdin.readline()
    broker.publish([message(repr(time.monotonic()), "q")])
    say(time.monotonic())
"""
    )
    delays = []
    for _ in range(40):
        waiting = Later(lambda: (consumer.take(1, 10.0), time.monotonic()))
        time.sleep(0.005)  # so that it waits by now
        sender.stdin.write("\n")
        sender.stdin.flush()
        sent = float(sender.line())
        (delivery,), came = waiting.result()
        consumer.settle([Ack(tag=delivery.tag)])
        delays.append(came - sent)
    assert sorted(delays)[len(delays) // 2] < 0.005


def test_a_result_of_another_process_wakes_who_waits_for_it(program, backend):
    storer = program(
        """
backend = SqliteBackend(path)
for n in range(20):
    sys.stdin.readline()
    backend.store([record(str(n), payload=b"1")])
    say(time.monotonic())
"""
    )
    delays = []
    for number in range(20):
        waiting = Later(lambda number=number: (backend.wait([str(number)], 10.0), time.monotonic()))
        time.sleep(0.005)
        storer.stdin.write("\n")
        storer.stdin.flush()
        sent = float(storer.line())
        found, came = waiting.result()
        assert found == {str(number): b"1"}
        delays.append(came - sent)
    assert sorted(delays)[len(delays) // 2] < 0.005


def test_a_lost_word_is_made_up_for_by_looking(broker, consume, store, monkeypatch):
    consumer = consume()
    later = Later(lambda: consumer.take(1, 30.0))
    assert not later.done.wait(0.02)
    with monkeypatch.context() as patch:
        patch.setattr(store.bells, "ring", lambda kind, words: None)
        start = time.monotonic()
        broker.publish([message("one", "q")])
    assert ids(later.result()) == ["one"]
    assert time.monotonic() - start < 5.0


def test_waiting_idly_costs_next_to_nothing(program):
    idler = program(
        """
consumer = broker.consumer(["a", "b", "c"], "idler")
start, used = time.monotonic(), time.process_time()
consumer.take(10, 2.0)
say((time.process_time() - used) / (time.monotonic() - start))
"""
    )
    assert float(idler.line()) < 0.005
