"""What the in-process server does beyond the exam: names, forks, memory, time."""

from __future__ import annotations

import os
import time
import warnings

import pytest

from skirret import clock
from skirret.backends.memory import MemoryBackend
from skirret.backends.open import open_backend
from skirret.brokers.memory import MemoryBroker
from skirret.brokers.open import open_broker
from skirret.coordination.memory import MemoryCoordination
from skirret.coordination.open import open_coordination
from skirret.errors import BackendError, ImproperlyConfigured
from skirret.stores.expiring import SWEEP_AT, Expiring
from skirret.testing.conformance import HandClock
from skirret.testing.conformance.material import ids, message, record


@pytest.fixture
def hands(monkeypatch):
    """Time that stands still until it is moved."""
    hands = HandClock()
    monkeypatch.setattr(clock, "monotonic", hands)
    return hands


def test_clients_of_one_name_meet_and_of_another_do_not():
    open_broker("memory://here").publish([message("one", "q")])
    assert open_broker("memory://here").size("q").ready == 1
    assert open_broker("memory://there").size("q").ready == 0
    assert open_broker("memory://").identity != open_broker("memory://here").identity


def test_broker_backend_and_coordination_are_found_by_address():
    assert isinstance(open_broker("memory"), MemoryBroker)
    assert isinstance(open_backend("memory://here"), MemoryBackend)
    assert isinstance(open_backend("cache+memory://"), MemoryBackend)
    assert isinstance(open_coordination("memory://here"), MemoryCoordination)
    assert open_backend("memory://here").identity == open_broker("memory://here").identity


@pytest.mark.parametrize("find", [open_broker, open_backend, open_coordination])
def test_a_misspelt_scheme_is_refused_with_the_nearest_one(find):
    with pytest.raises(ImproperlyConfigured, match="did you mean 'memory'"):
        find("memorry://")


def test_a_nonce_is_forgotten_after_thirty_seconds(hands):
    broker = MemoryBroker("nonces")
    for seconds, ready in ((0.0, 1), (29.9, 1), (0.2, 2)):
        hands.advance(seconds)
        broker.publish([message("one", "q", nonce="same")])
        assert broker.size("q").ready == ready


def test_a_fork_starts_with_an_empty_server():
    broker = MemoryBroker("forked")
    broker.publish([message("one", "q")])
    with warnings.catch_warnings(action="ignore"):  # Python 3.12 warns of threads, which other tests may have left
        child = os.fork()
    if child == 0:
        empty = broker.size("q").ready == 0 and broker.identity != f"memory:{os.getppid()}:forked"
        os._exit(0 if empty else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert broker.size("q").ready == 1


def test_foreign_bytes_are_injected_and_delivered_as_they_are():
    broker = MemoryBroker("foreign")
    broker.inject("q", b"\xff not a message")
    consumer = broker.consumer(["q"], "c1")
    (delivery,) = consumer.take(1, 0.0)
    assert (delivery.raw, delivery.queue) == (b"\xff not a message", "q")


def test_the_task_id_of_a_foreign_message_is_read_from_it():
    broker = MemoryBroker("foreign-id")
    broker.publish([message("one", "q")])
    (raw,) = (waiting.raw for waiting in broker.peek("q"))
    broker.inject("other", raw, priority=9)
    (waiting,) = broker.peek("other")
    assert (waiting.task_id, waiting.priority) == ("one", 9)


def test_ended_entries_do_not_pile_up(hands):
    entries: Expiring[int] = Expiring()
    for number in range(10 * SWEEP_AT):
        entries.put(str(number), number, ttl=1.0)
        hands.advance(0.01)
    assert len(entries._entries) <= SWEEP_AT + 1
    assert len(list(entries)) in {99, 100}


def test_an_unreachable_server_of_results_raises_the_error_of_results():
    backend = MemoryBackend("down")
    backend._server.unreachable = True
    with pytest.raises(BackendError):
        backend.store([record("one")])


def test_a_backlog_does_not_slow_the_take():
    broker = MemoryBroker("backlog")
    consumer = broker.consumer(["q"], "c1")

    def cost(count):
        broker.publish([message(str(n), "q", nonce="") for n in range(count)])
        start = time.process_time()
        taken = ids(consumer.take(200, 0.0))
        spent = time.process_time() - start
        assert len(taken) == 200
        broker.purge("q")
        return spent

    small = min(cost(200) for _ in range(3))
    assert cost(20_000) < 20 * small + 0.01  # a scan of the backlog would be a hundred times slower
