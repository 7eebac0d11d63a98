"""Outcomes on their way out while messages are taken: results before settlements, each once, whatever fails between."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skirret.errors import BackendError, OperationalError
from skirret.message import Record
from skirret.outcome import Ack, DeadLetter
from skirret.worker.settling import Settling


class Servers:
    """A broker, its consumer and a result store that work while nobody waits; each call may fail."""

    enabled = True
    fenced = False
    identity = "results"

    def __init__(self):
        self.log = []
        self.faults = iter(())
        self.stored = set()
        self.acked = Counter()
        self.dead = Counter()
        self.bad = set()
        self.begun = None

    def _perhaps(self, what, names, error):
        self.log.append((what, sorted(names)))
        fault = next(self.faults, None)
        if fault == "bug":
            self.bad |= {int(one[1:]) for one in names}
        if fault is not None:
            raise ValueError("it cannot be written") if fault == "bug" else error

    def settles(self, _backend):
        return False

    def publish(self, publications):
        pass

    def beat(self):
        return True

    # the result store

    def begin_store(self, records):
        self._perhaps("begin store", [one.task_id for one in records], BackendError("away"))

        def finish():
            self.store(records)

        return finish

    def store(self, records):
        self._perhaps("store", [one.task_id for one in records], BackendError("away"))
        self.stored |= {one.task_id for one in records}

    # the consumer

    def begin_settle(self, settlements):
        names = [f"r{one.tag}" for one in settlements]
        assert self.begun is None, "nothing else is settled meanwhile"
        assert self.stored.issuperset(names), "results come first"
        assert all(one.result is None for one in settlements)
        self._perhaps("begin settle", names, OperationalError("away"))
        self.begun = settlements

    def settle(self, settlements):
        if not isinstance(settlements[0], DeadLetter):
            self.begin_settle(settlements)
            return self.end_settle()
        self.dead.update(one.tag for one in settlements)
        return [True]

    def end_settle(self):
        begun, self.begun = self.begun, None
        self._perhaps("end settle", [f"r{one.tag}" for one in begun], OperationalError("away"))
        self.acked.update(one.tag for one in begun)
        return [True] * len(begun)


def ack(tag):
    return Ack(tag=tag, result=Record(task_id=f"r{tag}", state="SUCCESS", payload=b"{}"))


@pytest.fixture
def servers():
    return Servers()


def settling_with(servers):
    settling = Settling(servers, servers)
    settling.begin()
    return settling


def told_by(settling, servers, told):
    """One round of a fetcher, in which `told` gets what was settled."""

    def settled(batch, flags):
        told.extend((one.tag, flag) for one, flag in zip(batch, flags, strict=True))

    settling.carry_out(servers, lambda _batch: None, settled)
    servers.log.append(("take", []))
    settling.go_on(servers, settled)


def test_servers_work_on_one_batch_while_messages_are_taken(servers):
    settling, told = settling_with(servers), []
    settling.settle([ack(1), ack(2)])
    told_by(settling, servers, told)
    settling.settle([ack(3)])
    told_by(settling, servers, told)
    told_by(settling, servers, told)
    assert servers.log == [
        ("begin store", ["r1", "r2"]), ("take", []), ("store", ["r1", "r2"]), ("begin settle", ["r1", "r2"]),
        ("begin store", ["r3"]), ("end settle", ["r1", "r2"]), ("take", []), ("store", ["r3"]),
        ("begin settle", ["r3"]), ("end settle", ["r3"]), ("take", []),
    ]  # fmt: skip
    assert told == [(1, True), (2, True), (3, True)]
    assert settling.outcomes == 0
    assert not settling.is_under_way


def test_what_was_settled_is_told_though_the_results_of_the_next_cannot_be_stored(servers):
    settling, told = settling_with(servers), []
    settling.settle([ack(1)])
    told_by(settling, servers, told)
    settling.settle([ack(2)])
    servers.faults = iter(["away"])
    with pytest.raises(BackendError):
        told_by(settling, servers, told)
    assert told == [(1, True)]
    told_by(settling, servers, told)
    told_by(settling, servers, told)
    assert told == [(1, True), (2, True)]


def test_what_was_settled_is_told_though_a_state_cannot_be_stored(servers):
    settling, told = settling_with(servers), []
    settling.settle([ack(1)])
    told_by(settling, servers, told)
    settling.store([Record(task_id="r9", state="STARTED", payload=b"{}")])
    servers.faults = iter(["away"])
    with pytest.raises(BackendError):
        told_by(settling, servers, told)
    assert told == [(1, True)]


STEPS = st.lists(st.tuples(st.integers(0, 3), st.lists(st.sampled_from([None, None, "away", "bug"]), max_size=5)))


@given(STEPS)
def test_each_outcome_is_settled_whatever_fails_on_the_way(steps):
    servers = Servers()
    settling, told, tag = settling_with(servers), [], 0
    for count, faults in [*steps, *[(0, [])] * 3]:
        settling.settle([ack(tag + n) for n in range(count)])
        tag += count
        servers.faults = iter(faults)
        try:
            told_by(settling, servers, told)
        except (BackendError, OperationalError):
            continue
        except ValueError as exc:
            raise AssertionError("a bug in one outcome stops all others") from exc
    assert sorted(told) == [(n, True) for n in range(tag)], "each is told of once"
    assert servers.acked + servers.dead == Counter(range(tag)), "each is done once"
    assert set(servers.dead) <= servers.bad, "none goes to the dead letters for another's sake"
    assert settling.outcomes == 0
